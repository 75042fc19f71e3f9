/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes authorities, targets and queries. Input: three texts with a NUL in between, of exactly
 * their size: an authority or target, the name of a query parameter, and a plain text. */
#include "tests/fuzz/h1_feed.h"

#include "base/buf.h"
#include "http/url.h"

static bool inside(struct sn_slice part, struct sn_slice whole)
{
	return part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

static void check_authority(struct sn_slice s)
{
	struct sn_slice host = {0}, again = {0};
	uint16_t port = 0, port_again = 0;
	struct sn_buf b;
	bool v6;

	if (sn_url_authority(s, &host, &port)) {
		CHECK(host.p == NULL && port == 0);
		return;
	}
	CHECK(inside(host, s) && host.n > 0);
	v6 = s.p[0] == '[';
	CHECK(memchr(host.p, '@', host.n) == NULL && memchr(host.p, '/', host.n) == NULL);
	CHECK(v6 == (memchr(host.p, ':', host.n) != NULL));
	/* Put together again it is the same. */
	sn_buf_init(&b, 0);
	sn_buf_printf(&b, v6 ? "[%.*s]" : "%.*s", SN_ARG(host));
	if (port)
		sn_buf_printf(&b, ":%u", port);
	if (!v6 && host.p[host.n - 1] == '.') {
		sn_buf_done(&b); /* "a..": one dot is cut off each time */
		return;
	}
	CHECK(sn_url_authority(sn_buf_slice(&b), &again, &port_again) == 0);
	CHECK(sn_slice_eq(host, again) && port == port_again);
	sn_buf_done(&b);
}

static void check_query(struct sn_slice query, struct sn_slice name)
{
	struct sn_slice value = {0}, self;
	bool found = sn_url_query_find(query, name, &value);

	if (!found) {
		CHECK(value.p == NULL);
		return;
	}
	CHECK(inside(value, query));
	CHECK(value.n == 0 || memchr(value.p, '&', value.n) == NULL);
	/* The first one: nothing before it has that name. */
	self = sn_slice(query.p, (size_t)(value.p - query.p));
	while (self.n && self.p[self.n - 1] != '&')
		self.n--;
	CHECK(!sn_url_query_find(self, name, &value));
}

static void check_target(struct sn_slice s, struct sn_slice name)
{
	struct sn_slice path = {0}, query = {0};
	int rc = sn_url_path_query(s, &path, &query);

	CHECK((rc != 0) == (s.n && memchr(s.p, '#', s.n) != NULL));
	if (rc)
		return;
	CHECK(inside(path, s) && inside(query, s));
	CHECK(path.p == s.p && query.p + query.n == s.p + s.n);
	CHECK(path.n + query.n + (path.n < s.n ? 1 : 0) == s.n);
	CHECK(path.n == s.n || s.p[path.n] == '?');
	check_query(query, name);
}

/* Every octet escaped is equal to itself, and to nothing that is longer or shorter. */
static void check_decoded(struct sn_slice s, struct sn_slice plain)
{
	struct sn_buf b;

	(void)sn_url_decoded_eq(s, plain);
	sn_buf_init(&b, 0);
	for (size_t i = 0; i < plain.n; i++)
		sn_buf_printf(&b, i % 2 ? "%%%02x" : "%%%02X", (uint8_t)plain.p[i]);
	CHECK(sn_url_decoded_eq(sn_buf_slice(&b), plain));
	if (plain.n) {
		CHECK(!sn_url_decoded_eq(sn_buf_slice(&b), sn_slice(plain.p, plain.n - 1)));
		CHECK(!sn_url_decoded_eq(sn_slice(sn_buf_slice(&b).p, sn_buf_len(&b) - 3), plain));
	}
	sn_buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sn_slice rest = sn_slice((const char *)data, n), part[3];

	for (size_t i = 0; i < 3; i++) {
		struct sn_slice s = i < 2 ? sn_slice_cut(&rest, '\0') : rest;

		part[i] = sn_slice(exact_copy(s.p ? s.p : "", s.n), s.n);
	}
	for (size_t i = 0; i < 3; i++) {
		check_authority(part[i]);
		check_target(part[i], part[1]);
		check_decoded(part[i], part[2]);
	}
	for (size_t i = 0; i < 3; i++)
		free((char *)(uintptr_t)part[i].p);
	return 0;
}
