/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what clients say about their sessions. Input: three texts with a NUL in between, of
 * exactly their size: the session's name, what stands before its cookie, and what stands behind. */
#include "tests/fuzz/h1_feed.h"

#include "base/err.h"
#include "mesh/persist.h"

#define NOW 1700000000u

static struct sn_persist persist(struct sn_slice name, enum sn_persist_type type)
{
	return (struct sn_persist){.name = name, .type = type, .idle_s = 3600, .key = {11, 22}};
}

static int find(const struct sn_persist *p, struct sn_slice field, enum sn_hdr_id id,
		struct sn_session *ret)
{
	struct sn_header v[2] = {{.name = SN_SLICE("cookie"), .id = SN_HDR_COOKIE},
				 {.name = p->name, .value = field, .id = (uint8_t)id}};
	struct sn_headers hs = {v, 2, 2};
	int rc = sn_persist_find(p, &hs, NOW, ret);

	CHECK(rc == 0 || rc == -SN_ENOENT || rc == -SN_EPROTO || rc == -SN_ETIMEOUT);
	return rc;
}

/* Whatever is found can be written again, and is then the same. */
static void check_found(const struct sn_persist *p, const struct sn_session *s)
{
	char token[SN_PERSIST_TOKEN];
	struct sn_session again;

	sn_persist_write(p, s, s->used_s, token);
	CHECK(sn_persist_read(p, sn_slice(token, sizeof(token)), NOW, &again) == 0);
	CHECK(again.endpoint == s->endpoint && again.issued_s == s->issued_s &&
	      again.used_s == s->used_s);
}

/* As a cookie among others, and as a header by itself. */
static void check_as_sent(struct sn_slice name, struct sn_slice text)
{
	struct sn_persist p = persist(name, SN_PERSIST_COOKIE);
	struct sn_session s;

	if (find(&p, text, SN_HDR_COOKIE, &s) == 0)
		check_found(&p, &s);
	p.type = SN_PERSIST_HEADER;
	if (name.n && find(&p, text, SN_HDR_OTHER, &s) == 0)
		check_found(&p, &s);
	if (sn_persist_read(&p, text, NOW, &s) == 0)
		check_found(&p, &s);
}

/* A cookie of ours behind and before what others have set: found, unless one of that name stands
 * before it. */
static void check_among(struct sn_slice name, struct sn_slice before, struct sn_slice behind)
{
	struct sn_persist p = persist(name, SN_PERSIST_COOKIE);
	char set[SN_PERSIST_COOKIE_MAX], *text;
	struct sn_session s, got;
	size_t n = before.n + 1 + name.n + 1 + SN_PERSIST_TOKEN + 1 + behind.n;
	int rc;

	sn_persist_start(&s, 0x1122334455667788u, NOW);
	rc = sn_persist_set_cookie(&p, &s, true, NOW, set, sizeof(set));
	CHECK(rc > 0 && (size_t)rc < sizeof(set) && (size_t)rc == strlen(set));
	text = malloc(n);
	CHECK(text);
	memcpy(text, before.p, before.n);
	text[before.n] = ';';
	memcpy(text + before.n + 1, set, name.n + 1 + SN_PERSIST_TOKEN);
	text[n - behind.n - 1] = ';';
	memcpy(text + n - behind.n, behind.p, behind.n);
	rc = find(&p, sn_slice(text, n), SN_HDR_COOKIE, &got);
	CHECK(rc != -SN_ENOENT);
	if (before.n < name.n || !memmem(before.p, before.n, name.p, name.n))
		CHECK(rc == 0 && got.endpoint == s.endpoint && got.issued_s == NOW);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sn_slice rest = sn_slice((const char *)data, n), part[3];

	for (size_t i = 0; i < 3; i++) {
		struct sn_slice s = i < 2 ? sn_slice_cut(&rest, '\0') : rest;

		part[i] = sn_slice(exact_copy(s.p ? s.p : "", s.n), s.n);
	}
	for (size_t i = 0; i < 3; i++)
		check_as_sent(part[0], part[i]);
	if (sn_persist_name_valid(part[0]))
		check_among(part[0], part[1], part[2]);
	for (size_t i = 0; i < 3; i++)
		free((char *)(uintptr_t)part[i].p);
	return 0;
}
