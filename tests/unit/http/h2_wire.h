/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 by hand: frames and header blocks (literals only) as any peer might send them, and what a
 * session sends printed as text, so that a test can say both in one line. */
#ifndef SN_TESTS_HTTP_H2_WIRE_H
#define SN_TESTS_HTTP_H2_WIRE_H

#include "tests/unit/unit.h"

#include "base/buf.h"
#include "http/h2_guard.h"

#define WIRE_MAGIC "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static inline void wire_frame(struct sn_buf *b, unsigned type, unsigned flags, uint32_t id,
			      const void *payload, size_t n)
{
	uint8_t head[9] = {(uint8_t)(n >> 16),	(uint8_t)(n >> 8),  (uint8_t)n,
			   (uint8_t)type,	(uint8_t)flags,	    (uint8_t)(id >> 24),
			   (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

	assert_int_equal(sn_buf_append(b, head, sizeof(head)), 0);
	assert_int_equal(sn_buf_append(b, payload, n), 0);
}

static inline void wire_u32(struct sn_buf *b, unsigned type, uint32_t id, uint32_t value)
{
	uint8_t v[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
			(uint8_t)value};

	wire_frame(b, type, 0, id, v, sizeof(v));
}

/* An HPACK string without Huffman coding (RFC 7541 5.2). */
static inline void hpack_string(struct sn_buf *b, struct sn_slice s)
{
	size_t n = s.n;

	if (n < 127) {
		sn_buf_putc(b, (char)n);
	} else {
		sn_buf_putc(b, 127);
		for (n -= 127; n >= 128; n /= 128)
			sn_buf_putc(b, (char)(n % 128 + 128));
		sn_buf_putc(b, (char)n);
	}
	assert_int_equal(sn_buf_append(b, s.p, s.n), 0);
}

/* A literal that enters no table (RFC 7541 6.2.2). */
static inline void hpack_field(struct sn_buf *b, struct sn_slice name, struct sn_slice value)
{
	sn_buf_putc(b, 0);
	hpack_string(b, name);
	hpack_string(b, value);
}

/* "name: value" lines into fields; the name ends at the first ": " behind its first octet. */
static inline void hpack_lines(struct sn_buf *b, const char *lines)
{
	while (*lines) {
		const char *end = strchr(lines, '\n'), *colon = strstr(lines + 1, ": ");

		assert_non_null(end);
		assert_true(colon && colon < end);
		hpack_field(b, sn_slice(lines, (size_t)(colon - lines)),
			    sn_slice(colon + 2, (size_t)(end - colon - 2)));
		lines = end + 1;
	}
}

static inline void wire_headers(struct sn_buf *b, uint32_t id, bool end, const char *lines)
{
	struct sn_buf block;

	sn_buf_init(&block, 0);
	hpack_lines(&block, lines);
	wire_frame(b, SN_H2_FRAME_HEADERS,
		   SN_H2_FLAG_END_HEADERS | (end ? SN_H2_FLAG_END_STREAM : 0u), id,
		   sn_buf_slice(&block).p, sn_buf_len(&block));
	sn_buf_done(&block);
}

static inline void wire_data(struct sn_buf *b, uint32_t id, bool end, const char *text)
{
	wire_frame(b, SN_H2_FRAME_DATA, end ? SN_H2_FLAG_END_STREAM : 0u, id, text, strlen(text));
}

static inline uint32_t wire_read_u32(const char *p)
{
	const uint8_t *o = (const uint8_t *)p;

	return (uint32_t)o[0] << 24 | (uint32_t)o[1] << 16 | (uint32_t)o[2] << 8 | o[3];
}

/* Prints the frames in @in: "H1 D1(5)e RST1(8) GOAWAY(11)"; 'e' is END_STREAM. SETTINGS, window
 * updates and acknowledgements are left out. */
static inline void wire_print(struct sn_slice in, struct sn_buf *out)
{
	while (in.n >= 9) {
		struct sn_h2_frame_head h = sn_h2_frame_head_read((const uint8_t *)in.p);
		const char *payload = in.p + 9, *end = h.flags & SN_H2_FLAG_END_STREAM ? "e" : "";
		const char *gap = sn_buf_len(out) > 0 ? " " : "";

		assert_true(in.n >= 9 + h.length);
		if (h.type == SN_H2_FRAME_HEADERS)
			sn_buf_printf(out, "%sH%d%s", gap, h.stream_id, end);
		else if (h.type == SN_H2_FRAME_DATA)
			sn_buf_printf(out, "%sD%d(%u)%s", gap, h.stream_id, h.length, end);
		else if (h.type == SN_H2_FRAME_RST_STREAM)
			sn_buf_printf(out, "%sRST%d(%u)", gap, h.stream_id, wire_read_u32(payload));
		else if (h.type == SN_H2_FRAME_GOAWAY)
			sn_buf_printf(out, "%sGOAWAY(%u)", gap, wire_read_u32(payload + 4));
		in.p += 9 + h.length;
		in.n -= 9 + h.length;
	}
	assert_int_equal(in.n, 0);
}

#endif
