/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what the API server sends: streams of events and lists of items, cut anywhere, applied to
 * the index. The cut changes nothing; objects that are taken can be translated into documents that
 * a proxy reads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "operator/index/index.h"
#include "operator/translate/translate.h"
#include "proxy/config.h"

#define CHECK(c)                                                                                   \
	do {                                                                                       \
		if (!(c))                                                                          \
			abort();                                                                   \
	} while (0)

struct seen {
	struct sn_index *idx;
	struct sn_buf text; /* all items, written again */
};

static int on_item(void *arg, const struct sn_val *v, bool is_rest)
{
	struct seen *s = arg;
	const struct sn_val *obj = sn_val_get(v, "object") ? sn_val_get(v, "object") : v;
	struct sn_jsonw w;

	sn_jsonw_init(&w, &s->text);
	sn_jsonw_val(&w, v);
	sn_buf_putc(&s->text, is_rest ? ';' : '\n');
	if (s->idx && !is_rest)
		(void)sn_index_apply(s->idx, -1, obj);
	return 0;
}

static int feed(const char *items, const char *p, size_t n, size_t step, struct seen *s)
{
	struct sn_json_stream *j = sn_json_stream_new(items, 65536, on_item, s);
	size_t at, k;
	int rc = 0;

	CHECK(j);
	for (at = 0; at < n && rc == 0; at += k) {
		k = n - at < step ? n - at : step;
		rc = sn_json_stream_feed(j, p + at, k, NULL);
	}
	if (rc == 0)
		rc = sn_json_stream_end(j, NULL);
	sn_json_stream_free(j);
	return rc;
}

/* Whatever the resources say, a proxy can read what is written. */
static void check_document(struct sn_slice text)
{
	struct sn_config *c = NULL;
	struct sn_buf messages;

	sn_buf_init(&messages, 0);
	if (sn_config_parse("routes-0.yaml", text, NULL, NULL, &c, &messages) != SN_CONFIG_OK) {
		fprintf(stderr, "%s\n%.*s\n", sn_buf_cstr(&messages), SN_ARG(text));
		abort();
	}
	sn_config_free(c);
	sn_buf_done(&messages);
}

static void translate_all(struct sn_index *idx)
{
	struct sn_condition c[SN_CONDITIONS_MAX];
	struct sn_document doc;
	struct sn_err err = {0};
	size_t i, p;

	for (i = 0; i < sn_index_count(idx, SN_KIND_MESHROUTE); i++) {
		const struct sn_object *o = sn_index_at(idx, SN_KIND_MESHROUTE, i);

		for (p = 0; p < sn_translate_parents(o); p++)
			CHECK(sn_translate_conditions(idx, o, p, c) <= SN_CONDITIONS_MAX);
		if (sn_translate(idx, o->ns, &doc, &err))
			continue;
		if (doc.n_shards == 1)
			check_document(sn_buf_slice(&doc.shards[0]));
		sn_document_done(&doc);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *items = n && data[0] & 1 ? "items" : NULL;
	size_t step = n > 1 ? 1 + data[1] % 64 : 1;
	struct seen whole = {.idx = sn_index_new()}, cut = {0};
	const char *p = (const char *)data + (n > 2 ? 2 : n);

	n = n > 2 ? n - 2 : 0;
	sn_buf_init(&whole.text, 0);
	sn_buf_init(&cut.text, 0);
	if (feed(items, p, n, n + 1, &whole) == 0) {
		CHECK(feed(items, p, n, step, &cut) == 0);
		CHECK(sn_slice_eq(sn_buf_slice(&whole.text), sn_buf_slice(&cut.text)));
	} else {
		CHECK(feed(items, p, n, step, &cut) != 0);
	}
	translate_all(whole.idx);
	sn_index_free(whole.idx);
	sn_buf_done(&whole.text);
	sn_buf_done(&cut.text);
	return 0;
}
