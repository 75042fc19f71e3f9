/* SPDX-License-Identifier: Apache-2.0 */
/* A field is an index, perhaps a name, and a value (RFC 7541 6); an integer can tell of its next
 * octet only that there is one, so each octet is decided on when it comes:
 *
 *   FIELD -> [INDEX] -> LENGTH_FIRST -> [LENGTH] -> STRING -> [FILL] -> FIELD, or a value's
 *                                                                      LENGTH_FIRST
 * PASS: what is wrong is the library's to say. */
#include "http/h2_shrink.h"

#include <string.h>

enum state { FIELD, INDEX, LENGTH_FIRST, LENGTH, STRING, FILL, PASS };

#define CUT_SHIFT 14	  /* of the length's octet that a cut is made at: below are 16 KiB */
#define HUFFMAN_AMP 0xf8  /* '&', the one octet that is one symbol as well (RFC 7541 B) */
#define PIECE 16000	  /* octets of a filling field, */
#define PIECE_MAX 16516	  /* and of the last one: what a length of three octets can say */
#define LENGTH_BASE 127u  /* what the first of those says */
#define INTEGER_SHIFT 28u /* of the last octet of an integer */

void sn_h2_shrink_begin(struct sn_h2_shrink *z)
{
	*z = (struct sn_h2_shrink){.state = FIELD};
}

static void field_octet(struct sn_h2_shrink *z, uint8_t b)
{
	unsigned mask = b & 0x80 ? 0x7f : b & 0x40 ? 0x3f : b & 0x20 ? 0x1f : 0x0f;
	bool strings = !(b & 0x80) && (b & 0x60) != 0x20;

	z->name = strings && (b & mask) == 0;
	z->huffman = false;
	z->left = strings; /* until INDEX is over */
	z->shift = 0;
	if ((b & mask) == mask)
		z->state = INDEX;
	else
		z->state = strings ? LENGTH_FIRST : FIELD;
}

static void index_octet(struct sn_h2_shrink *z, uint8_t b)
{
	if (!(b & 0x80))
		z->state = z->left ? LENGTH_FIRST : FIELD;
	else if ((z->shift = (uint8_t)(z->shift + 7)) > INTEGER_SHIFT)
		z->state = PASS;
}

static void string_ended(struct sn_h2_shrink *z)
{
	if (z->gap > 0) {
		z->named = z->name;
		z->n_head = z->at = 0;
		z->value_left = 0;
		z->state = FILL;
	} else {
		z->state = z->name ? LENGTH_FIRST : FIELD;
		z->name = false;
	}
}

static void string_begins(struct sn_h2_shrink *z)
{
	z->left = z->fake;
	z->gap = z->real - z->fake;
	z->hit |= z->gap > 0;
	z->state = STRING;
	if (z->left == 0)
		string_ended(z);
}

static void length_first(struct sn_h2_shrink *z, uint8_t b)
{
	z->huffman = b & 0x80;
	z->real = z->fake = b & 0x7f;
	z->shift = 0;
	if (z->real == LENGTH_BASE)
		z->state = LENGTH;
	else
		string_begins(z);
}

/* Returns the octet that takes its place. A length that goes over the limit at a later octet is of
 * 2 MiB at least, which no section may have. */
static uint8_t length_octet(struct sn_h2_shrink *z, uint8_t b)
{
	uint64_t add = (uint64_t)(b & 0x7f) << z->shift;

	z->real += add;
	if (z->shift == CUT_SHIFT && z->real > SN_H2_STRING_MAX) {
		b = (b & 0x80) | 1;
		add = UINT64_C(1) << CUT_SHIFT;
	} else if (z->shift > CUT_SHIFT && add > 0) {
		z->state = PASS;
		return b;
	}
	z->fake += add;
	z->shift = (uint8_t)(z->shift + 7);
	if (!(b & 0x80))
		string_begins(z);
	else if (z->shift > INTEGER_SHIFT)
		z->state = PASS;
	return b;
}

/* The next filling field, or behind a name that was cut first the rest of its own: a value. Its
 * real value becomes that of a field whose beginning are the last three octets. */
static void next_piece(struct sn_h2_shrink *z)
{
	static const uint8_t begin[] = {0x00, 0x01, 'x'}; /* never mind how: not for the table */
	uint64_t tail = z->name ? sizeof(begin) : 0, n = z->gap - tail;
	uint32_t length;

	z->n_head = z->at = 0;
	if (!z->named) {
		memcpy(z->head, begin, sizeof(begin));
		z->n_head = sizeof(begin);
	}
	z->named = false;
	if (n == 0)
		return;
	n = n > PIECE_MAX ? PIECE : n;
	z->value_left = (uint32_t)n - z->n_head - 3;
	length = z->value_left - LENGTH_BASE;
	z->head[z->n_head++] = LENGTH_BASE;
	z->head[z->n_head++] = (uint8_t)(0x80 | (length & 0x7f));
	z->head[z->n_head++] = (uint8_t)(length >> 7);
}

static uint8_t fill_octet(struct sn_h2_shrink *z)
{
	uint8_t b = 'x';

	if (z->at == z->n_head && z->value_left == 0)
		next_piece(z);
	if (z->at < z->n_head)
		b = z->head[z->at++];
	else
		z->value_left--;
	if (--z->gap == 0)
		string_ended(z);
	return b;
}

static size_t string_octets(struct sn_h2_shrink *z, uint8_t *p, size_t n)
{
	if (n > z->left)
		n = (size_t)z->left;
	if (z->gap > 0 && z->huffman) /* cut anywhere, it would not be one */
		memset(p, HUFFMAN_AMP, n);
	z->left -= n;
	if (z->left == 0)
		string_ended(z);
	return n;
}

void sn_h2_shrink(struct sn_h2_shrink *z, uint8_t *p, size_t n)
{
	uint8_t *end = p + n;

	while (p < end) {
		switch (z->state) {
		case FIELD:
			field_octet(z, *p++);
			break;
		case INDEX:
			index_octet(z, *p++);
			break;
		case LENGTH_FIRST:
			length_first(z, *p++);
			break;
		case LENGTH:
			*p = length_octet(z, *p);
			p++;
			break;
		case STRING:
			p += string_octets(z, p, (size_t)(end - p));
			break;
		case FILL:
			*p++ = fill_octet(z);
			break;
		default:
			return;
		}
	}
}
