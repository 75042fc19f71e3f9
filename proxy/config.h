/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/config.h - the proxy's document, decoded and compiled: the one door between configuration
 * and everything else. Immutable once made; the snapshot in it goes to the workers.
 * Reading (config_read.c) touches the file system; merging, decoding and building do not. */
#ifndef SN_PROXY_CONFIG_H
#define SN_PROXY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/ports.h"
#include "base/val.h"
#include "mesh/snapshot.h"
#include "net/addr.h"

enum sn_direction { SN_OUTBOUND, SN_INBOUND };
enum sn_listener_protocol {
	SN_LISTEN_DETECT,
	SN_LISTEN_HTTP, /* both versions, told apart by HTTP/2's preface */
	SN_LISTEN_HTTP1,
	SN_LISTEN_HTTP2,
	SN_LISTEN_OPAQUE,
};

struct sn_tls_ctx;

/* Plain TLS that ends here. */
struct sn_config_tls {
	const char *certificate, *key, *client_ca; /* files; client_ca NULL: clients need none */
	struct sn_tls_ctx *ctx; /* one reference; NULL only where no files could be read at all */
	bool kept;		/* the files are bad: ctx is what was in use before */
};

struct sn_config_listener {
	const char *name;
	struct sn_addr *addresses;
	size_t n_addresses;
	enum sn_direction direction;
	bool transparent;
	enum sn_listener_protocol protocol;
	bool mesh_peer;		      /* what arrives comes from one of our own */
	const char *service;	      /* pinned to it; NULL: by original destination or Host */
	struct sn_ports opaque_ports; /* of the original destination: relayed as bytes */
	struct sn_config_tls *tls;    /* NULL: plaintext */
};

struct sn_config_limits {
	int64_t connections;
	int64_t requests; /* in flight in the whole process; 0: no cap */
	int64_t pending;  /* of them, waiting for their turn */
	uint64_t header_bytes;
	int64_t header_count;
	uint64_t request_line_bytes;
	uint64_t buffer_bytes;
	uint64_t memory; /* of the whole process; 0: none */
};

/* Milliseconds; 0 = none where the schema allows it. */
struct sn_config_timeouts {
	uint64_t header, idle, body, stream, opaque_idle, tls_handshake, detect, detect_dial,
		connect, drain;
};

/* Who answers for names. */
struct sn_config_resolver {
	const char *servers; /* "IP:PORT,..."; NULL: /etc/resolv.conf's */
	uint64_t timeout_ms;
};

struct sn_config {
	struct sn_arena arena; /* everything here but the snapshot */
	char instance[17];     /* this process among all proxies: random */
	unsigned workers;      /* 0 = auto */
	struct sn_addr admin;
	struct sn_config_limits limits;
	struct sn_config_timeouts timeouts;
	uint64_t drain_propagation_ms;
	uint64_t wait_for_routes_ms;
	struct sn_config_resolver resolver;
	struct sn_config_listener *listeners;
	size_t n_listeners;
	struct sn_snapshot *snapshot; /* one reference */
	const struct sn_val *fixed;   /* what of the documents only a restart changes */
	struct sn_buf text;	      /* the merged documents that all this came from, as YAML */
	bool has_routes;	/* the document had a revision or services: not only 00-pod.yaml */
	char hash[SN_HASH_HEX]; /* of everything that was read, files that it names included */
};

enum sn_config_result {
	SN_CONFIG_OK,	     /* *ret is a new configuration */
	SN_CONFIG_UNCHANGED, /* the same hash as @in_use */
	SN_CONFIG_WAITING,   /* not all shards of one revision are there yet */
	SN_CONFIG_EMPTY,     /* no file, or no document in any: a mount that became empty changes
				nothing */
	SN_CONFIG_REJECTED,  /* see the messages */
};

/* Reads @path (a file, or a directory whose *.yaml are merged in name order) with the
 * certificates that it names, checks all of it and compiles it. Endpoint files are not part of it:
 * see proxy/discovery.h.
 * @in_use: or NULL; its certificates stay where new ones cannot be used. @messages: one
 * "FILE:LINE:COLUMN: path: message" a line; warnings when the result is SN_CONFIG_OK.
 * *ret is set only for SN_CONFIG_OK; free it with sn_config_free(). */
enum sn_config_result sn_config_load(const char *path, const struct sn_config *in_use,
				     struct sn_config **ret, struct sn_buf *messages);

/* What a directory holds besides routes, when these are bad or not all there yet: the files without
 * `shard`, in a pod 00-pod.yaml. Its hash is empty (the next look at all of it is a change) and
 * has_routes false.
 * SN_CONFIG_OK with *ret, SN_CONFIG_EMPTY (no listener in it) or SN_CONFIG_REJECTED. */
enum sn_config_result sn_config_load_pod(const char *path, struct sn_config **ret,
					 struct sn_buf *messages);

/* As sn_config_load() from one document in memory; files that it names are not read (@read_file
 * NULL) or come from the callback, which returns 0 and fills @out, or -errno. Pure but for that. */
typedef int (*sn_config_read_fn)(void *arg, const char *path, struct sn_buf *out);
enum sn_config_result sn_config_parse(const char *file, struct sn_slice text,
				      sn_config_read_fn read_file, void *arg,
				      struct sn_config **ret, struct sn_buf *messages);

void sn_config_free(struct sn_config *c);
/* Another one has taken the place of @c, of which listeners and their names stay in use: the rest
 * goes. */
void sn_config_retire(struct sn_config *c);

/* Reads the endpoint files that @c names. Returns 0, or -SN_ECONF with a line in @messages for each
 * that could not be used. */
int sn_config_check_endpoint_files(const struct sn_config *c, struct sn_buf *messages);

/* The certificates that @c came from, for watching: calls @fn for each file. */
void sn_config_each_file(const struct sn_config *c, void (*fn)(void *arg, const char *path),
			 void *arg);

/* The merged documents that @c came from as one YAML text (what last-good.yaml and GET /config
 * hold): never what the files say meanwhile. Returns 0, -SN_ETOOBIG (aliases made it so) or
 * -SN_ENOMEM. */
int sn_config_text(const struct sn_config *c, struct sn_buf *out);

void sn_config_print_defaults(struct sn_buf *out);

#endif
