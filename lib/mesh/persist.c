/* SPDX-License-Identifier: Apache-2.0 */
/* A session that is kept by the client needs no table here, no agreement among proxies and no
 * memory that clients could fill; what comes back is read as what it is, bytes from anyone. */
#include "mesh/persist.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"

#define RAW_BYTES 24
#define SIGNED_BYTES 16 /* of these: endpoint, issued, used */

bool sn_persist_name_valid(struct sn_slice name)
{
	return name.n >= 1 && name.n <= SN_PERSIST_NAME_MAX && sn_token_valid(name);
}

static void put(uint8_t *dst, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		dst[i] = (uint8_t)v;
}

static uint64_t get(const uint8_t *src, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | src[bytes];
	return v;
}

uint64_t sn_persist_endpoint(const struct sn_addr *addr)
{
	uint8_t raw[1 + 2 + 4 + sizeof(addr->ip)];

	/* Tokens outlive the process that made them: nothing here may depend on it. */
	raw[0] = addr->family == AF_INET6 ? 6 : 4;
	put(raw + 1, addr->port, 2);
	put(raw + 3, addr->scope, 4);
	memcpy(raw + 7, addr->ip, sizeof(addr->ip));
	return sn_hash_sip64(raw, sizeof(raw), 0x73656e6e69740003u, 0x0123456789abcdefu);
}

/* The name is covered, so that a token of one session is none of another. */
static uint64_t check_of(const struct sn_persist *p, const uint8_t *raw)
{
	uint8_t text[SIGNED_BYTES + SN_PERSIST_NAME_MAX];
	size_t n = p->name.n < SN_PERSIST_NAME_MAX ? p->name.n : SN_PERSIST_NAME_MAX;

	memcpy(text, raw, SIGNED_BYTES);
	if (n)
		memcpy(text + SIGNED_BYTES, p->name.p, n);
	return sn_hash_sip64(text, SIGNED_BYTES + n, p->key[0], p->key[1]);
}

/* RFC 4648 5. A multiple of three bytes: no padding, and one form only. */
static void encode(const uint8_t raw[RAW_BYTES], char dst[SN_PERSIST_TOKEN])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (unsigned i = 0; i < RAW_BYTES; i += 3, dst += 4) {
		unsigned v = (unsigned)raw[i] << 16 | (unsigned)raw[i + 1] << 8 | raw[i + 2];

		for (unsigned j = 0; j < 4; j++)
			dst[j] = digits[v >> (18 - 6 * j) & 63];
	}
}

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

static int decode(struct sn_slice token, uint8_t raw[RAW_BYTES])
{
	unsigned v = 0, out = 0;

	if (token.n != SN_PERSIST_TOKEN)
		return -SN_EPROTO;
	for (unsigned i = 0; i < SN_PERSIST_TOKEN; i++) {
		int d = digit_of(token.p[i]);

		if (d < 0)
			return -SN_EPROTO;
		v = v << 6 | (unsigned)d;
		if (i % 4 != 3)
			continue;
		raw[out++] = (uint8_t)(v >> 16);
		raw[out++] = (uint8_t)(v >> 8);
		raw[out++] = (uint8_t)v;
	}
	return 0;
}

static uint32_t seconds(uint64_t unix_s)
{
	return unix_s < UINT32_MAX ? (uint32_t)unix_s : UINT32_MAX;
}

static bool is_over(uint32_t since_s, uint32_t limit_s, uint64_t now_unix_s)
{
	return limit_s && now_unix_s > since_s && now_unix_s - since_s >= limit_s;
}

int sn_persist_read(const struct sn_persist *p, struct sn_slice token, uint64_t now_unix_s,
		    struct sn_session *ret)
{
	uint8_t raw[RAW_BYTES];
	struct sn_session s;

	if (decode(token, raw) || get(raw + SIGNED_BYTES, 8) != check_of(p, raw))
		return -SN_EPROTO;
	s.endpoint = get(raw, 8);
	s.issued_s = (uint32_t)get(raw + 8, 4);
	s.used_s = (uint32_t)get(raw + 12, 4);
	if (is_over(s.issued_s, p->absolute_s, now_unix_s) ||
	    is_over(s.used_s, p->idle_s, now_unix_s))
		return -SN_ETIMEOUT;
	*ret = s;
	return 0;
}

/* Looks for the cookie in one field's value. True: *ret is its value. */
static bool find_cookie(struct sn_slice field, struct sn_slice name, struct sn_slice *ret)
{
	while (field.p) {
		struct sn_slice value = sn_slice_cut(&field, ';');
		struct sn_slice found = sn_slice_trim(sn_slice_cut(&value, '='));

		if (!value.p || !sn_slice_eq(found, name))
			continue;
		value = sn_slice_trim(value);
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = sn_slice(value.p + 1, value.n - 2);
		*ret = value;
		return true;
	}
	return false;
}

static bool find_token(const struct sn_persist *p, const struct sn_headers *hs,
		       struct sn_slice *ret)
{
	const struct sn_header *h;

	if (p->type == SN_PERSIST_HEADER) {
		h = sn_headers_find(hs, p->name);
		if (h)
			*ret = h->value;
		return h != NULL;
	}
	for (h = hs->v; h < hs->v + hs->n; h++)
		if (h->id == SN_HDR_COOKIE && !(h->flags & SN_HDR_DROPPED) &&
		    find_cookie(h->value, p->name, ret))
			return true;
	return false;
}

int sn_persist_find(const struct sn_persist *p, const struct sn_headers *hs, uint64_t now_unix_s,
		    struct sn_session *ret)
{
	struct sn_slice token;

	return find_token(p, hs, &token) ? sn_persist_read(p, token, now_unix_s, ret) : -SN_ENOENT;
}

bool sn_persist_needs_renewal(const struct sn_persist *p, const struct sn_session *s,
			      uint64_t now_unix_s)
{
	return p->idle_s && is_over(s->used_s, p->idle_s < 8 ? 1 : p->idle_s / 8, now_unix_s);
}

void sn_persist_start(struct sn_session *s, uint64_t endpoint, uint64_t now_unix_s)
{
	*s = (struct sn_session){endpoint, seconds(now_unix_s), seconds(now_unix_s)};
}

void sn_persist_write(const struct sn_persist *p, const struct sn_session *s, uint64_t now_unix_s,
		      char dst[SN_PERSIST_TOKEN])
{
	uint8_t raw[RAW_BYTES];

	put(raw, s->endpoint, 8);
	put(raw + 8, s->issued_s, 4);
	put(raw + 12, seconds(now_unix_s), 4);
	put(raw + SIGNED_BYTES, check_of(p, raw), 8);
	encode(raw, dst);
}

/* "; Max-Age=N", what is left of the session; nothing for a cookie that goes with the browser. */
static void format_age(const struct sn_persist *p, const struct sn_session *s, uint64_t now_unix_s,
		       char *dst, size_t cap)
{
	uint64_t age = now_unix_s > s->issued_s ? now_unix_s - s->issued_s : 0;
	uint64_t left = age < p->absolute_s ? p->absolute_s - age : 0;

	dst[0] = '\0';
	if (p->permanent && p->absolute_s)
		snprintf(dst, cap, "; Max-Age=%llu", (unsigned long long)left);
}

int sn_persist_set_cookie(const struct sn_persist *p, const struct sn_session *s, bool tls,
			  uint64_t now_unix_s, char *dst, size_t cap)
{
	char token[SN_PERSIST_TOKEN], age[32];
	int n;

	if (p->name.n > SN_PERSIST_NAME_MAX)
		return -SN_ETOOBIG;
	sn_persist_write(p, s, now_unix_s, token);
	format_age(p, s, now_unix_s, age, sizeof(age));
	n = snprintf(dst, cap, "%.*s=%.*s; Path=/%s; HttpOnly; SameSite=Lax%s", SN_ARG(p->name),
		     SN_PERSIST_TOKEN, token, age, tls ? "; Secure" : "");
	return n < 0 || (size_t)n >= cap ? -SN_ETOOBIG : n;
}
