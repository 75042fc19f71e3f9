/* SPDX-License-Identifier: Apache-2.0 */
/* The document's schema: every key, type, range and default, in the order in which people read it.
 * Only what this build honours is listed; anything else is an unknown key or value. */
#include <string.h>

#include "net/resolver.h"
#include "proxy/config_int.h"

#define AT(type, member) .offset = offsetof(struct type, member)
#define COUNT(type, member) .n_offset = offsetof(struct type, member)
#define END                                                                                        \
	{                                                                                          \
	}

static const struct sn_conf_field str_item = {.type = SN_CONF_STR, .min = 1, .max = 253};

static const struct sn_conf_field server_item = {.type = SN_CONF_STR, .min = 1, .max = 64};

static const struct sn_conf_field route_item = {.type = SN_CONF_OBJECT, .object = &sn_schema_route};

/* --- services -----------------------------------------------------------------------------------
 */

static const struct sn_conf_name port_protocols[] = {
	{"detect", SN_PORT_DETECT}, {"http", SN_PORT_HTTP},	{"http2", SN_PORT_HTTP2},
	{"grpc", SN_PORT_GRPC},	    {"opaque", SN_PORT_OPAQUE}, {NULL, 0}};
static const struct sn_conf_field port_fields[] = {{.key = "port",
						    .type = SN_CONF_INT,
						    .min = 1,
						    .max = 65535,
						    AT(raw_port, port),
						    .flags = SN_CONF_REQUIRED,
						    .help = "port"},
						   {.key = "protocol",
						    .type = SN_CONF_ENUM,
						    .names = port_protocols,
						    AT(raw_port, protocol),
						    .def = "detect",
						    .help = "what the backend speaks"},
						   END};
static const struct sn_conf_object port = {"port", sizeof(struct raw_port), port_fields, NULL};
static const struct sn_conf_field port_item = {.type = SN_CONF_OBJECT, .object = &port};

static const struct sn_conf_field endpoint_fields[] = {
	{.key = "address",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 64,
	 AT(raw_endpoint, address),
	 .flags = SN_CONF_REQUIRED,
	 .help = "IP:PORT"},
	{.key = "weight",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 65535,
	 AT(raw_endpoint, weight),
	 .def = "1",
	 .help = "share; 0: no new requests"},
	{.key = "servicePort",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 65535,
	 AT(raw_endpoint, service_port),
	 .help = "serves only this port of the service"},
	{.key = "mesh",
	 .type = SN_CONF_BOOL,
	 AT(raw_endpoint, mesh),
	 .def = "false",
	 .help = "a peer proxy: the hop is HTTP/2"},
	{.key = "zone",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 63,
	 AT(raw_endpoint, zone),
	 .help = "where it is"},
	END};
static const struct sn_conf_object endpoint = {"endpoint", sizeof(struct raw_endpoint),
					       endpoint_fields, NULL};
static const struct sn_conf_field endpoint_item = {.type = SN_CONF_OBJECT, .object = &endpoint};

static void check_dns_name(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const char *name = *(const char **)value;
	struct sn_addr unused;

	if (sn_addr_parse_ip(sn_slice_cstr(name), 0, &unused) == 0)
		sn_conf_error(ctx, v, "\"%s\" is an address: list it in \"static\"", name);
	else if (!sn_dns_name_ok(sn_slice_cstr(name)))
		sn_conf_error(ctx, v, "\"%s\" is not a DNS name", name);
}
static const struct sn_conf_name lookup_types[] = {
	{"A", SN_LOOKUP_A}, {"AAAA", SN_LOOKUP_AAAA}, {"SRV", SN_LOOKUP_SRV}, {NULL, 0}};
static const struct sn_conf_field lookup_fields[] = {
	{.key = "name",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 254,
	 AT(raw_lookup, name),
	 .flags = SN_CONF_REQUIRED,
	 .check = check_dns_name,
	 .help = "in full: no search list"},
	{.key = "port",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 65535,
	 AT(raw_lookup, port),
	 .help = "of the endpoints; SRV has its own"},
	{.key = "type",
	 .type = SN_CONF_ENUM,
	 .names = lookup_types,
	 AT(raw_lookup, type),
	 .def = "A",
	 .help = "IPv4 addresses, IPv6 addresses, or services"},
	END};
static void check_lookup(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct raw_lookup *l = value;

	if (l->type == SN_LOOKUP_SRV && l->port)
		sn_conf_error(ctx, v, "SRV records have ports of their own: no \"port\"");
	else if (l->type != SN_LOOKUP_SRV && !l->port)
		sn_conf_error(ctx, v, "\"port\" is missing: only SRV records have their own");
}
static const struct sn_conf_object lookup = {"dns", sizeof(struct raw_lookup), lookup_fields,
					     check_lookup};

static const struct sn_conf_field endpoints_fields[] = {
	{.key = "static",
	 .type = SN_CONF_LIST,
	 .max = 10000,
	 AT(raw_endpoints, list),
	 COUNT(raw_endpoints, n_list),
	 .has_offset = offsetof(struct raw_endpoints, has_list),
	 .item = &endpoint_item},
	{.key = "file",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 4096,
	 AT(raw_endpoints, file),
	 .help = "lines \"address port [* weight] [@ servicePort] [zone=name]\", or \"none\"; "
		 "watched"},
	{.key = "dns",
	 .type = SN_CONF_OBJECT,
	 .object = &lookup,
	 AT(raw_endpoints, lookup),
	 .help = "asked again when the answer's time to live is over"},
	END};
static void check_endpoints(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	struct raw_endpoints *e = value;
	bool usable = e->n_list == 0;
	size_t i;

	if (e->has_list + (e->file != NULL) + (e->lookup != NULL) != 1)
		sn_conf_error(ctx, v, "exactly one of \"static\", \"file\" and \"dns\"");
	for (i = 0; i < e->n_list; i++)
		usable |= e->list[i].weight > 0;
	if (!usable)
		sn_conf_error(ctx, sn_val_get(v, "static"),
			      "all weights are 0: no endpoint would take a request");
}
static const struct sn_conf_object endpoints = {"endpoints", sizeof(struct raw_endpoints),
						endpoints_fields, check_endpoints};

static const struct sn_conf_field service_fields[] = {
	{.key = "name",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 253,
	 AT(raw_service, name),
	 .flags = SN_CONF_REQUIRED,
	 .help = "unique"},
	{.key = "hosts",
	 .type = SN_CONF_LIST,
	 .max = 64,
	 AT(raw_service, hosts),
	 COUNT(raw_service, n_hosts),
	 .item = &str_item,
	 .help = "Host names that mean it"},
	{.key = "addresses",
	 .type = SN_CONF_LIST,
	 .max = 64,
	 AT(raw_service, addresses),
	 COUNT(raw_service, n_addresses),
	 .item = &str_item,
	 .help = "virtual IP addresses"},
	{.key = "ports",
	 .type = SN_CONF_LIST,
	 .max = 1000,
	 AT(raw_service, ports),
	 COUNT(raw_service, n_ports),
	 .item = &port_item},
	{.key = "routes",
	 .type = SN_CONF_LIST,
	 .max = 10000,
	 AT(raw_service, routes),
	 COUNT(raw_service, n_routes),
	 .item = &route_item,
	 .help = "none: everything goes to the service itself"},
	{.key = "policy",
	 .type = SN_CONF_OBJECT,
	 .object = &sn_schema_policy,
	 .flags = SN_CONF_EMBED,
	 AT(raw_service, policy),
	 .help = "how it is used as a backend"},
	{.key = "endpoints",
	 .type = SN_CONF_OBJECT,
	 .object = &endpoints,
	 AT(raw_service, endpoints),
	 .help = "absent: its addresses at the requested port"},
	END};
static const struct sn_conf_object service = {"service", sizeof(struct raw_service), service_fields,
					      NULL};
static const struct sn_conf_field service_item = {.type = SN_CONF_OBJECT, .object = &service};

/* --- the process --------------------------------------------------------------------------------
 */

static const struct sn_conf_name directions[] = {
	{"outbound", SN_OUTBOUND}, {"inbound", SN_INBOUND}, {NULL, 0}};
static void check_ports(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	struct sn_ports ports;
	struct sn_err err = {0};

	if (sn_ports_parse(*(const char **)value, &ports, &err))
		sn_conf_error(ctx, v, "%s", err.msg);
}

static const struct sn_conf_name listener_protocols[] = {
	{"detect", SN_LISTEN_DETECT}, {"http", SN_LISTEN_HTTP},	    {"http1", SN_LISTEN_HTTP1},
	{"http2", SN_LISTEN_HTTP2},   {"opaque", SN_LISTEN_OPAQUE}, {NULL, 0}};
static const struct sn_conf_field tls_fields[] = {
	{.key = "certificate",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 4096,
	 AT(raw_tls, certificate),
	 .flags = SN_CONF_REQUIRED,
	 .help = "PEM file: the certificate, then intermediates; watched"},
	{.key = "key",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 4096,
	 AT(raw_tls, key),
	 .flags = SN_CONF_REQUIRED,
	 .help = "PEM file: its private key; watched"},
	{.key = "clientCA",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 4096,
	 AT(raw_tls, client_ca),
	 .help = "PEM file: clients must show a certificate of one of these; watched"},
	END};
static const struct sn_conf_object tls = {"tls", sizeof(struct raw_tls), tls_fields, NULL};

static const struct sn_conf_field listener_fields[] = {
	{.key = "name",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 63,
	 AT(raw_listener, name),
	 .flags = SN_CONF_REQUIRED,
	 .help = "for logs and statistics"},
	{.key = "address",
	 .type = SN_CONF_STR_OR_LIST,
	 AT(raw_listener, addresses),
	 COUNT(raw_listener, n_addresses),
	 .flags = SN_CONF_REQUIRED,
	 .help = "IP:PORT or a list of them"},
	{.key = "direction",
	 .type = SN_CONF_ENUM,
	 .names = directions,
	 AT(raw_listener, direction),
	 .flags = SN_CONF_REQUIRED},
	{.key = "transparent",
	 .type = SN_CONF_BOOL,
	 AT(raw_listener, transparent),
	 .def = "false",
	 .help = "the original destination picks the service"},
	{.key = "protocol",
	 .type = SN_CONF_ENUM,
	 .names = listener_protocols,
	 AT(raw_listener, protocol),
	 .def = "detect"},
	{.key = "service",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 253,
	 AT(raw_listener, service),
	 .help = "pins the listener to one service"},
	{.key = "meshPeer",
	 .type = SN_CONF_BOOL,
	 AT(raw_listener, mesh_peer),
	 .def = "false",
	 .help = "what arrives comes from a peer proxy"},
	{.key = "opaquePorts",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 1024,
	 AT(raw_listener, opaque_ports),
	 .check = check_ports,
	 .help = "original destination ports that are bytes, such as \"3306,9000-9100\""},
	{.key = "tls",
	 .type = SN_CONF_OBJECT,
	 .object = &tls,
	 AT(raw_listener, tls),
	 .help = "TLS 1.2 or 1.3 ends here; absent: plaintext"},
	END};
static const struct sn_conf_object listener = {"listener", sizeof(struct raw_listener),
					       listener_fields, NULL};
static const struct sn_conf_field listener_item = {.type = SN_CONF_OBJECT, .object = &listener};

static const struct sn_conf_field admin_fields[] = {{.key = "address",
						     .type = SN_CONF_STR,
						     .min = 1,
						     .max = 64,
						     .def = "127.0.0.1:4191",
						     .help = "/live /ready /metrics /config"},
						    END};
static const struct sn_conf_object admin = {"admin", sizeof(const char *), admin_fields, NULL};

#define KIB(n) ((n) * (int64_t)1024)
static const struct sn_conf_field limits_fields[] = {
	{.key = "connections",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 1000000,
	 AT(sn_config_limits, connections),
	 .def = "10000",
	 .help = "accepted and open at once, per worker"},
	{.key = "requests",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 10000000,
	 AT(sn_config_limits, requests),
	 .def = "0",
	 .help = "in flight at once, of the process; 0: no cap"},
	{.key = "pending",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 10000000,
	 AT(sn_config_limits, pending),
	 .def = "1000",
	 .help = "of them, waiting for their turn at a service"},
	{.key = "headerBytes",
	 .type = SN_CONF_SIZE,
	 .min = KIB(1),
	 .max = KIB(1024),
	 AT(sn_config_limits, header_bytes),
	 .def = "64KiB",
	 .help = "a message's whole head"},
	{.key = "headerCount",
	 .type = SN_CONF_INT,
	 .min = 8,
	 .max = 1000,
	 AT(sn_config_limits, header_count),
	 .def = "100",
	 .help = "fields in a head"},
	{.key = "requestLineBytes",
	 .type = SN_CONF_SIZE,
	 .min = 256,
	 .max = KIB(1024),
	 AT(sn_config_limits, request_line_bytes),
	 .def = "8KiB",
	 .help = "method, target, version"},
	{.key = "bufferBytes",
	 .type = SN_CONF_SIZE,
	 .min = KIB(16),
	 .max = KIB(1024),
	 AT(sn_config_limits, buffer_bytes),
	 .def = "64KiB",
	 .help = "held per direction of a connection"},
	{.key = "memory",
	 .type = SN_CONF_SIZE,
	 .max = KIB(1024) * 1024 * 1024,
	 AT(sn_config_limits, memory),
	 .def = "64MiB",
	 .help = "of the process: past it new work is refused; 0: none"},
	END};
static const struct sn_conf_object limits = {"limits", sizeof(struct sn_config_limits),
					     limits_fields, NULL};

#define HOURS(n) ((n) * (int64_t)3600000)
static const struct sn_conf_field timeouts_fields[] = {
	{.key = "header",
	 .type = SN_CONF_DURATION,
	 .min = 10,
	 .max = HOURS(1),
	 AT(sn_config_timeouts, header),
	 .def = "10s",
	 .help = "until a request's head is complete"},
	{.key = "idle",
	 .type = SN_CONF_DURATION,
	 .min = 10,
	 .max = HOURS(24),
	 AT(sn_config_timeouts, idle),
	 .def = "5m",
	 .help = "keep-alive without a request"},
	{.key = "body",
	 .type = SN_CONF_DURATION,
	 .min = 10,
	 .max = HOURS(24),
	 AT(sn_config_timeouts, body),
	 .def = "1m",
	 .help = "no progress of a body"},
	{.key = "stream",
	 .type = SN_CONF_DURATION,
	 .max = HOURS(24),
	 AT(sn_config_timeouts, stream),
	 .def = "0s",
	 .help = "nothing moves on a response, tunnel or gRPC call that has begun; 0s: none"},
	{.key = "opaqueIdle",
	 .type = SN_CONF_DURATION,
	 .max = HOURS(24),
	 AT(sn_config_timeouts, opaque_idle),
	 .def = "0s",
	 .help = "relayed connections; 0s: none"},
	{.key = "tlsHandshake",
	 .type = SN_CONF_DURATION,
	 .min = 10,
	 .max = HOURS(1),
	 AT(sn_config_timeouts, tls_handshake),
	 .def = "10s",
	 .help = "until it must be complete"},
	{.key = "detect",
	 .type = SN_CONF_DURATION,
	 .min = 10,
	 .max = HOURS(1),
	 AT(sn_config_timeouts, detect),
	 .def = "10s",
	 .help = "until the protocol must be known"},
	{.key = "detectDial",
	 .type = SN_CONF_DURATION,
	 .min = 1,
	 .max = HOURS(1),
	 AT(sn_config_timeouts, detect_dial),
	 .def = "100ms",
	 .help = "a silent client: dial the original destination"},
	{.key = "connect",
	 .type = SN_CONF_DURATION,
	 .min = 1,
	 .max = HOURS(1),
	 AT(sn_config_timeouts, connect),
	 .def = "1s",
	 .help = "to an endpoint"},
	{.key = "drain",
	 .type = SN_CONF_DURATION,
	 .max = HOURS(24),
	 AT(sn_config_timeouts, drain),
	 .def = "30s",
	 .help = "at most, after SIGTERM or an upgrade in place"},
	END};
static const struct sn_conf_object timeouts = {"timeouts", sizeof(struct sn_config_timeouts),
					       timeouts_fields, NULL};

static const struct sn_conf_field drain_fields[] = {
	{.key = "propagation",
	 .type = SN_CONF_DURATION,
	 .max = HOURS(1),
	 .def = "5s",
	 .help = "keep accepting after readiness went off"},
	END};
static const struct sn_conf_object drain = {"drain", sizeof(uint64_t), drain_fields, NULL};

static const struct sn_conf_field startup_fields[] = {{.key = "waitForRoutes",
						       .type = SN_CONF_DURATION,
						       .max = HOURS(1),
						       .def = "10s",
						       .help = "then ready without routes"},
						      END};
static const struct sn_conf_object startup = {"startup", sizeof(uint64_t), startup_fields, NULL};

static const struct sn_conf_field resolver_fields[] = {
	{.key = "servers",
	 .type = SN_CONF_LIST,
	 .max = 8,
	 AT(raw_resolver, servers),
	 COUNT(raw_resolver, n_servers),
	 .item = &server_item,
	 .help = "IP or IP:PORT, in this order; none: those of /etc/resolv.conf"},
	{.key = "timeout",
	 .type = SN_CONF_DURATION,
	 .min = 10,
	 .max = 60000,
	 AT(raw_resolver, timeout),
	 .def = "2s",
	 .help = "of one server, then the next; all twice"},
	END};
static const struct sn_conf_object resolver = {"resolver", sizeof(struct raw_resolver),
					       resolver_fields, NULL};

static const struct sn_conf_name default_modes[] = {
	{"passthrough", SN_DEFAULT_PASSTHROUGH}, {"deny", SN_DEFAULT_DENY}, {NULL, 0}};
static const struct sn_conf_field default_fields[] = {{.key = "mode",
						       .type = SN_CONF_ENUM,
						       .names = default_modes,
						       .def = "passthrough",
						       .help = "traffic for nobody"},
						      END};
static const struct sn_conf_object default_service = {"defaultService", sizeof(int), default_fields,
						      NULL};

static const struct sn_conf_field shard_fields[] = {{.key = "index",
						     .type = SN_CONF_INT,
						     .min = 0,
						     .max = 7,
						     AT(raw_shard, index),
						     .flags = SN_CONF_REQUIRED,
						     .help = "of this file"},
						    {.key = "of",
						     .type = SN_CONF_INT,
						     .min = 1,
						     .max = 8,
						     AT(raw_shard, of),
						     .flags = SN_CONF_REQUIRED,
						     .help = "files of one revision"},
						    END};
static const struct sn_conf_object shard = {"shard", sizeof(struct raw_shard), shard_fields, NULL};

static void check_workers(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	(void)value;
	if (v->type == SN_VAL_STR ? strcmp(v->str.p, "auto") != 0
				  : v->type != SN_VAL_INT || v->i < 1 || v->i > 64)
		sn_conf_error(ctx, v, "expected 1 to 64, or auto");
}

static const struct sn_conf_field document_fields[] = {{.key = "version",
							.type = SN_CONF_INT,
							.min = 1,
							.max = 1,
							AT(raw_document, version),
							.flags = SN_CONF_REQUIRED,
							.help = "of this format: 1"},
						       {.key = "revision",
							.type = SN_CONF_STR,
							.max = 128,
							AT(raw_document, revision),
							.help = "written by the operator"},
						       {.key = "shard",
							.type = SN_CONF_OBJECT,
							.object = &shard,
							AT(raw_document, shard),
							.help = "written by the operator"},
						       {.key = "zone",
							.type = SN_CONF_STR,
							.min = 1,
							.max = 63,
							AT(raw_document, zone),
							.help = "where the proxy is: see locality"},
						       {.key = "workers",
							.type = SN_CONF_ANY,
							AT(raw_document, workers),
							.check = check_workers,
							.help = "1 to 64, or auto; 1 when absent"},
						       {.key = "admin",
							.type = SN_CONF_OBJECT,
							.object = &admin,
							.flags = SN_CONF_EMBED,
							AT(raw_document, admin)},
						       {.key = "limits",
							.type = SN_CONF_OBJECT,
							.object = &limits,
							.flags = SN_CONF_EMBED,
							AT(raw_document, limits)},
						       {.key = "timeouts",
							.type = SN_CONF_OBJECT,
							.object = &timeouts,
							.flags = SN_CONF_EMBED,
							AT(raw_document, timeouts)},
						       {.key = "drain",
							.type = SN_CONF_OBJECT,
							.object = &drain,
							.flags = SN_CONF_EMBED,
							AT(raw_document, drain)},
						       {.key = "startup",
							.type = SN_CONF_OBJECT,
							.object = &startup,
							.flags = SN_CONF_EMBED,
							AT(raw_document, startup)},
						       {.key = "resolver",
							.type = SN_CONF_OBJECT,
							.object = &resolver,
							.flags = SN_CONF_EMBED,
							AT(raw_document, resolver),
							.help = "of endpoints by DNS"},
						       {.key = "listeners",
							.type = SN_CONF_LIST,
							.max = 64,
							AT(raw_document, listeners),
							COUNT(raw_document, n_listeners),
							.item = &listener_item},
						       {.key = "defaultService",
							.type = SN_CONF_OBJECT,
							.object = &default_service,
							.flags = SN_CONF_EMBED,
							AT(raw_document, default_service)},
						       {.key = "services",
							.type = SN_CONF_LIST,
							.max = 10000,
							AT(raw_document, services),
							COUNT(raw_document, n_services),
							.item = &service_item},
						       END};

const struct sn_conf_object sn_config__document = {"document", sizeof(struct raw_document),
						   document_fields, NULL};

void sn_config_print_defaults(struct sn_buf *out)
{
	sn_conf_print_defaults(&sn_config__document, out);
}
