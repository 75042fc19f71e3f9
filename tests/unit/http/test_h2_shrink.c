/* SPDX-License-Identifier: Apache-2.0 */
/* Strings that are too long: cut in any split to the same octets, which are fields again and end
 * where the section did; all else passes as it came. */
#include "../unit.h"

#include "base/buf.h"
#include "http/h2_shrink.h"

static void put(struct sn_buf *b, uint64_t octet)
{
	sn_buf_putc(b, (char)octet);
}

/* @zeros: octets more than it takes. */
static void put_int(struct sn_buf *b, unsigned first, unsigned prefix, uint64_t n, int zeros)
{
	unsigned top = (1u << prefix) - 1;

	if (n < top) {
		put(b, first | n);
		return;
	}
	put(b, first | top);
	for (n -= top; n > 127; n >>= 7)
		put(b, 0x80 | (n & 127));
	for (; zeros > 0; zeros--, n = 0)
		put(b, 0x80 | n);
	put(b, n);
}

static void put_string(struct sn_buf *b, bool huffman, size_t n, int zeros)
{
	put_int(b, huffman ? 0x80 : 0, 7, n, zeros);
	while (n-- > 0)
		put(b, 'a' + n % 20);
}

/* Reads it over: the number of fields, and the longest string. Dies of what is not whole. */
struct reader {
	const uint8_t *p, *end;
	uint64_t longest;
	size_t n;
};

static uint64_t read_int(struct reader *r, unsigned prefix)
{
	unsigned top = (1u << prefix) - 1, shift = 0;
	uint64_t n;

	assert_true(r->p < r->end);
	n = *r->p++ & top;
	if (n < top)
		return n;
	do {
		assert_true(r->p < r->end && shift <= 28);
		n += (uint64_t)(*r->p & 127) << shift;
		shift += 7;
	} while (*r->p++ & 0x80);
	return n;
}

static void read_string(struct reader *r)
{
	bool huffman = *r->p & 0x80;
	uint64_t n = read_int(r, 7);

	assert_true(n <= (uint64_t)(r->end - r->p));
	if (n > 16384 && n < 65536 && huffman) /* cut */
		assert_true(r->p[0] == 0xf8 && r->p[n - 1] == 0xf8);
	r->longest = n > r->longest ? n : r->longest;
	r->p += n;
}

static struct reader read_over(struct sn_slice s)
{
	struct reader r = {(const uint8_t *)s.p, (const uint8_t *)s.p + s.n, 0, 0};

	for (; r.p < r.end; r.n++) {
		uint8_t b = *r.p;

		if (b & 0x80) {
			read_int(&r, 7);
			continue;
		}
		if ((b & 0xe0) == 0x20) {
			read_int(&r, 5);
			continue;
		}
		if (read_int(&r, b & 0x40 ? 6 : 4) == 0)
			read_string(&r);
		read_string(&r);
	}
	return r;
}

static bool shrink(struct sn_slice in, struct sn_buf *out, size_t piece)
{
	struct sn_h2_shrink z;

	sn_buf_reset(out);
	sn_buf_append(out, in.p, in.n);
	sn_h2_shrink_begin(&z);
	for (size_t at = 0; at < in.n; at += piece)
		sn_h2_shrink(&z, (uint8_t *)out->data + out->start + at,
			     in.n - at < piece ? in.n - at : piece);
	return z.hit;
}

static void put_around(struct sn_buf *b)
{
	put_int(b, 0x20, 5, 4096, 0); /* a table size */
	put(b, 0x82);
	put_int(b, 0x80, 7, 200, 0);
	put(b, 0x41); /* :authority, kept */
	put_string(b, true, 3, 0);
	put_int(b, 0x10, 4, 20, 0); /* never kept, by a long index */
	put_string(b, false, 200, 1);
	put(b, 0x00);
	put_string(b, false, 1, 0);
	put_string(b, false, 0, 0);
}

static void test_strings(void **state)
{
	static const size_t sizes[] = {65536, 65537, 65538, 81920, 98303, 98304, 131072, 1000000};
	static const size_t pieces[] = {1, 2, 7, 2048, SIZE_MAX / 2};
	struct sn_buf in, first, other;

	(void)state;
	sn_buf_init(&in, 0);
	sn_buf_init(&first, 0);
	sn_buf_init(&other, 0);
	for (unsigned i = 0; i < SN_ARRAY_LEN(sizes) * 24; i++) {
		size_t n = sizes[i / 24];
		bool name = i & 1, value = i & 2 || !name, huffman = i & 4;
		int zeros = (int)(i % 24 / 8);
		struct reader r;

		sn_buf_reset(&in);
		put_around(&in);
		put(&in, i & 8 ? 0x40 : 0x00);
		put_string(&in, huffman, name ? n : 5, name ? zeros : 0);
		put_string(&in, huffman, value ? n : 5, value ? zeros : 0);
		put_around(&in);
		assert_int_equal(shrink(sn_buf_slice(&in), &first, 3), n > 65536);
		r = read_over(sn_buf_slice(&first));
		if (n > 65536) {
			assert_true(r.longest > 16384 && r.longest <= 65536);
			assert_true(r.n >= 13 && r.n < 13 + 2 * (3 + n / 16000));
		} else {
			assert_memory_equal(first.data, in.data, sn_buf_len(&in));
		}
		for (size_t k = 0; k < SN_ARRAY_LEN(pieces); k++) {
			shrink(sn_buf_slice(&in), &other, pieces[k]);
			assert_int_equal(sn_buf_len(&other), sn_buf_len(&first));
			assert_memory_equal(sn_buf_slice(&other).p, sn_buf_slice(&first).p,
					    sn_buf_len(&first));
		}
	}
	sn_buf_done(&in);
	sn_buf_done(&first);
	sn_buf_done(&other);
}

/* What cannot be read passes as it is: the library says what is wrong with it. */
static void test_nonsense(void **state)
{
	static const char *const rows[] = {
		"\xff\xff\xff\xff\xff\xff\xff\x01",	/* an index without end */
		"\x40\x7f\xff\xff\xff\xff\xff\x01zzz",	/* a length */
		"\x40\x7f\x80\x80\x80\x01zzz",		/* of 2 MiB */
		"\x40\x7f\x80\x80\x80\x80\x80\x80\x01", /* of many zeros */
	};
	struct sn_buf out;

	(void)state;
	sn_buf_init(&out, 0);
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_slice in = sn_slice_cstr(rows[i]);

		assert_false(shrink(in, &out, 1));
		if (i != 1) /* cut already, and then given up */
			assert_memory_equal(sn_buf_slice(&out).p, in.p, in.n);
	}
	sn_buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
