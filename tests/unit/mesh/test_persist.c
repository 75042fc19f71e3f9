/* SPDX-License-Identifier: Apache-2.0 */
/* What a client is told about its session, and what is believed of what it says. */
#include "../unit.h"

#include "base/num.h"
#include "mesh/persist.h"

#define NOW 1700000000u
#define ENDPOINT 0x0123456789abcdefull

static struct sn_persist cookie(void)
{
	return (struct sn_persist){.name = SN_SLICE("sid"), .key = {11, 22}};
}

static struct sn_session session(uint32_t issued, uint32_t used)
{
	return (struct sn_session){ENDPOINT, issued, used};
}

/* Token as a string. */
static const char *token(const struct sn_persist *p, const struct sn_session *s, uint64_t now)
{
	static char text[SN_PERSIST_TOKEN + 1];

	sn_persist_write(p, s, now, text);
	text[SN_PERSIST_TOKEN] = '\0';
	return text;
}

static int read_text(const struct sn_persist *p, const char *text, uint64_t now,
		     struct sn_session *ret)
{
	return sn_persist_read(p, sn_slice_cstr(text), now, ret);
}

static void test_names(void **state)
{
	char text[SN_PERSIST_NAME_MAX + 1];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_true(sn_persist_name_valid(SN_SLICE("sid")));
	assert_true(sn_persist_name_valid(SN_SLICE("__Host-x.y_z")));
	assert_true(sn_persist_name_valid(sn_slice(text, SN_PERSIST_NAME_MAX)));
	assert_false(sn_persist_name_valid(sn_slice(text, SN_PERSIST_NAME_MAX + 1)));
	assert_false(sn_persist_name_valid(SN_SLICE("")));
	assert_false(sn_persist_name_valid(SN_SLICE("a=b")));
	assert_false(sn_persist_name_valid(SN_SLICE("a;b")));
	assert_false(sn_persist_name_valid(SN_SLICE("a b")));
	assert_false(sn_persist_name_valid(SN_SLICE("a\r\nb")));
}

static uint64_t id_of(const char *text)
{
	struct sn_addr a;

	assert_int_equal(sn_addr_parse(sn_slice_cstr(text), &a), 0);
	return sn_persist_endpoint(&a);
}

static void test_endpoints(void **state)
{
	static const char *const texts[] = {"10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "[::1]:80",
					    "[a00:1::]:80"};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(texts); i++)
		for (size_t j = 0; j < SN_ARRAY_LEN(texts); j++)
			assert_int_equal(id_of(texts[i]) == id_of(texts[j]), i == j);
	/* Other proxies and later versions read it: these numbers may not change. */
	assert_true(id_of("10.0.0.1:80") == 0xddabe2d05e804709);
	assert_true(id_of("[::1]:80") == 0x85488743f2818fc7);
}

static void test_round_trip(void **state)
{
	struct sn_persist p = cookie();
	struct sn_session s, got;
	struct sn_rng rng;

	(void)state;
	sn_rng_seed(&rng, 3);
	for (int i = 0; i < 1000; i++) {
		uint64_t endpoint = sn_rng_next(&rng);
		uint32_t now = (uint32_t)sn_rng_next(&rng);

		sn_persist_start(&s, endpoint, now);
		assert_true(s.issued_s == now && s.used_s == now);
		assert_int_equal(read_text(&p, token(&p, &s, now / 2), NOW, &got), 0);
		assert_true(got.endpoint == endpoint && got.issued_s == now &&
			    got.used_s == now / 2);
	}
	sn_persist_start(&s, 0, UINT64_MAX);
	assert_true(s.issued_s == UINT32_MAX);
	s = session(NOW, NOW);
	assert_string_equal(token(&p, &s, NOW),
			    "782riWdFIwEA8VNlAPFTZeUGvNlvsNFm"); /* may not change either */
}

/* Not one bit of it can be another, and no other session's token serves. */
static void test_forgery(void **state)
{
	struct sn_persist p = cookie(), other;
	struct sn_session s = session(NOW, NOW), got = {1, 2, 3};
	char text[SN_PERSIST_TOKEN + 2] = {0};

	(void)state;
	for (int i = 0; i < SN_PERSIST_TOKEN; i++)
		for (int c = 1; c < 256; c++) {
			memcpy(text, token(&p, &s, NOW), SN_PERSIST_TOKEN + 1);
			if (text[i] == (char)c)
				continue;
			text[i] = (char)c;
			assert_int_equal(read_text(&p, text, NOW, &got), -SN_EPROTO);
		}
	memcpy(text, token(&p, &s, NOW), SN_PERSIST_TOKEN + 1);
	for (size_t n = 0; n < SN_PERSIST_TOKEN; n++)
		assert_int_equal(sn_persist_read(&p, sn_slice(text, n), NOW, &got), -SN_EPROTO);
	text[SN_PERSIST_TOKEN] = 'A';
	assert_int_equal(read_text(&p, text, NOW, &got), -SN_EPROTO);
	other = p;
	other.name = SN_SLICE("sie");
	assert_int_equal(read_text(&other, token(&p, &s, NOW), NOW, &got), -SN_EPROTO);
	other = p;
	other.key[1]++;
	assert_int_equal(read_text(&other, token(&p, &s, NOW), NOW, &got), -SN_EPROTO);
	assert_true(got.endpoint == 1 && got.issued_s == 2 && got.used_s == 3);
}

static void test_timeouts(void **state)
{
	struct sn_persist p = cookie();
	struct sn_session s = session(NOW - 100, 0), got = {1, 2, 3};

	(void)state;
	p.absolute_s = 101;
	assert_int_equal(read_text(&p, token(&p, &s, NOW), NOW, &got), 0);
	p.absolute_s = 100;
	assert_int_equal(read_text(&p, token(&p, &s, NOW), NOW, &got), -SN_ETIMEOUT);
	p.absolute_s = 0;
	p.idle_s = 30;
	assert_int_equal(read_text(&p, token(&p, &s, NOW - 29), NOW, &got), 0);
	got = session(2, 3);
	assert_int_equal(read_text(&p, token(&p, &s, NOW - 30), NOW, &got), -SN_ETIMEOUT);
	assert_true(got.issued_s == 2);
	/* A clock that is ahead. */
	s.issued_s = NOW + 1000;
	p.absolute_s = 10;
	assert_int_equal(read_text(&p, token(&p, &s, NOW + 1000), NOW, &got), 0);
	/* No limits: for ever. */
	p.absolute_s = p.idle_s = 0;
	s.issued_s = 0;
	assert_int_equal(read_text(&p, token(&p, &s, 0), UINT64_MAX, &got), 0);
}

static void test_renewal(void **state)
{
	struct sn_persist p = cookie();
	struct sn_session s = session(NOW - 1000, NOW);

	(void)state;
	assert_false(sn_persist_needs_renewal(&p, &s, NOW + 100000));
	p.absolute_s = 100000; /* nothing that a renewal would change */
	assert_false(sn_persist_needs_renewal(&p, &s, NOW + 1000));
	p.idle_s = 80;
	assert_false(sn_persist_needs_renewal(&p, &s, NOW + 9));
	assert_true(sn_persist_needs_renewal(&p, &s, NOW + 10));
	p.idle_s = 3;
	assert_false(sn_persist_needs_renewal(&p, &s, NOW));
	assert_true(sn_persist_needs_renewal(&p, &s, NOW + 1));
	assert_false(sn_persist_needs_renewal(&p, &s, NOW - 10));
}

/* --- in a request */

struct fields {
	struct sn_header v[8];
	struct sn_headers hs;
};

static void add(struct fields *f, const char *name, const char *value)
{
	struct sn_slice n = sn_slice_cstr(name);

	f->hs.v = f->v;
	f->hs.cap = SN_ARRAY_LEN(f->v);
	f->v[f->hs.n++] = (struct sn_header){
		.name = n, .value = sn_slice_cstr(value), .id = (uint8_t)sn_hdr_lookup(n)};
}

/* @pattern: T stands for the token. */
static int find_in(const struct sn_persist *p, const char *pattern, struct sn_session *ret)
{
	struct sn_session s = session(NOW, NOW);
	const char *t = strchr(pattern, 'T');
	struct fields f = {.hs.n = 0};
	char text[256];

	if (t)
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(t - pattern), pattern,
			 token(p, &s, NOW), t + 1);
	else
		snprintf(text, sizeof(text), "%s", pattern);
	add(&f, "accept", "*/*");
	add(&f, "Cookie", text);
	return sn_persist_find(p, &f.hs, NOW, ret);
}

static void test_cookies(void **state)
{
	static const struct {
		const char *field;
		int rc;
	} rows[] = {
		{"sid=T", 0},
		{"a=b; sid=T", 0},
		{"a=b;sid=T;c=d", 0},
		{"sid=\"T\"", 0},
		{" \t sid = T \t; x", 0},
		{";;; sid=T;", 0},
		{"flag; sid=T", 0}, /* a cookie without a value, or a name */
		{"=x; sid=T", 0},
		{"a=\"b; sid=T; c\"", 0}, /* quotes do not protect a semicolon */
		{"sid=T; sid=garbage", 0},
		{"sid=garbage; sid=T", -SN_EPROTO}, /* the first counts */
		{"sid=", -SN_EPROTO},
		{"sid=\"", -SN_EPROTO},
		{"sid=\"\"", -SN_EPROTO},
		{"sid=T=", -SN_EPROTO},
		{"sid=T x", -SN_EPROTO},
		{"sid", -SN_ENOENT},
		{"", -SN_ENOENT},
		{";", -SN_ENOENT},
		{"=", -SN_ENOENT},
		{"SID=T", -SN_ENOENT},
		{"sid2=T", -SN_ENOENT},
		{"xsid=T", -SN_ENOENT},
		{"a=sid=T", -SN_ENOENT},
		{"a=b, sid=T", -SN_ENOENT},
	};
	struct sn_persist p = cookie();
	struct sn_session got;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		int rc = find_in(&p, rows[i].field, &got);

		if (rc != rows[i].rc)
			print_error("%s: %d\n", rows[i].field, rc);
		assert_int_equal(rc, rows[i].rc);
		assert_true(rc || got.endpoint == ENDPOINT);
	}
}

static void test_many_cookie_fields(void **state)
{
	struct sn_persist p = cookie();
	struct sn_session s = session(NOW, NOW), got;
	struct fields f = {.hs.n = 0};
	char text[64];

	(void)state;
	assert_int_equal(sn_persist_find(&p, &f.hs, NOW, &got), -SN_ENOENT);
	snprintf(text, sizeof(text), "sid=%s", token(&p, &s, NOW));
	add(&f, "cookie", "a=b"); /* HTTP/2 splits them */
	add(&f, "sid", "not a cookie");
	add(&f, "x-cookie", text);
	assert_int_equal(sn_persist_find(&p, &f.hs, NOW, &got), -SN_ENOENT);
	add(&f, "cookie", text);
	assert_int_equal(sn_persist_find(&p, &f.hs, NOW, &got), 0);
	f.v[f.hs.n - 1].flags = SN_HDR_DROPPED;
	assert_int_equal(sn_persist_find(&p, &f.hs, NOW, &got), -SN_ENOENT);
}

static void test_header(void **state)
{
	struct sn_persist p = cookie();
	struct sn_session s = session(NOW, NOW), got;
	struct fields f = {.hs.n = 0};
	char text[64];

	(void)state;
	p.type = SN_PERSIST_HEADER;
	p.name = SN_SLICE("X-Session");
	snprintf(text, sizeof(text), "X-Session=%s", token(&p, &s, NOW));
	add(&f, "cookie", text);
	assert_int_equal(sn_persist_find(&p, &f.hs, NOW, &got), -SN_ENOENT);
	add(&f, "x-session", text + strlen("X-Session="));
	assert_int_equal(sn_persist_find(&p, &f.hs, NOW, &got), 0);
	assert_true(got.endpoint == ENDPOINT);
	f.v[1].value = SN_SLICE("garbage");
	assert_int_equal(sn_persist_find(&p, &f.hs, NOW, &got), -SN_EPROTO);
}

static void assert_set(const struct sn_persist *p, bool tls, uint64_t now, const char *attributes)
{
	struct sn_session s = session(NOW, 0), got;
	char text[SN_PERSIST_COOKIE_MAX], want[SN_PERSIST_COOKIE_MAX];
	int n = sn_persist_set_cookie(p, &s, tls, now, text, sizeof(text));

	snprintf(want, sizeof(want), "%.*s=%s%s", SN_ARG(p->name), token(p, &s, now), attributes);
	assert_string_equal(text, want);
	assert_int_equal(n, strlen(want));
	/* What was set is what is read. */
	text[p->name.n + 1 + SN_PERSIST_TOKEN] = '\0';
	assert_int_equal(read_text(p, text + p->name.n + 1, now, &got), 0);
	assert_true(got.used_s == now);
	/* Any buffer that is too small is said to be. */
	for (size_t cap = 1; cap <= (size_t)n; cap += 7)
		assert_int_equal(sn_persist_set_cookie(p, &s, tls, now, text, cap), -SN_ETOOBIG);
	assert_int_equal(sn_persist_set_cookie(p, &s, tls, now, text, (size_t)n), -SN_ETOOBIG);
	assert_int_equal(sn_persist_set_cookie(p, &s, tls, now, text, (size_t)n + 1), n);
}

static void test_set_cookie(void **state)
{
	struct sn_persist p = cookie();
	char name[SN_PERSIST_NAME_MAX + 1], text[2 * SN_PERSIST_COOKIE_MAX];
	struct sn_session s = session(NOW, NOW);

	(void)state;
	assert_set(&p, false, NOW, "; Path=/; HttpOnly; SameSite=Lax");
	assert_set(&p, true, NOW, "; Path=/; HttpOnly; SameSite=Lax; Secure");
	p.absolute_s = 3600;
	assert_set(&p, false, NOW, "; Path=/; HttpOnly; SameSite=Lax");
	p.permanent = true;
	assert_set(&p, true, NOW, "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure");
	assert_set(&p, false, NOW + 600, "; Path=/; Max-Age=3000; HttpOnly; SameSite=Lax");
	assert_set(&p, false, NOW - 600, "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
	memset(name, 'n', sizeof(name));
	p.name = sn_slice(name, SN_PERSIST_NAME_MAX);
	p.absolute_s = UINT32_MAX; /* the longest there is fits */
	assert_set(&p, true, NOW, "; Path=/; Max-Age=4294967295; HttpOnly; SameSite=Lax; Secure");
	p.name.n++;
	assert_int_equal(sn_persist_set_cookie(&p, &s, true, NOW, text, sizeof(text)), -SN_ETOOBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_forgery),
		cmocka_unit_test(test_timeouts),   cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_cookies),	   cmocka_unit_test(test_many_cookie_fields),
		cmocka_unit_test(test_header),	   cmocka_unit_test(test_set_cookie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
