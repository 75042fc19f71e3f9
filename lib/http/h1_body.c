/* SPDX-License-Identifier: Apache-2.0 */
/* Reads bodies where they lie. The chunked coding (RFC 9112 7.1) is a machine over single octets
 * except for the data itself, so that a split can fall anywhere:
 *
 *   SIZE -> [EXT] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                        \-> (size 0) LAST -> END_LF -> done
 *                                        \-> TRAILERS -> done
 *
 * LAST looks at one octet behind the last chunk: CR ends the body there, anything else begins a
 * trailer section, which is a head's fields and is parsed as such, from growing input. An octet
 * that is wrong sets FAILED for good. */
#include "http/h1_int.h"

#include <string.h>

#include "http/chars.h"

enum state {
	SIZE_FIRST, /* the first digit */
	SIZE,	    /* more digits, an extension, or CR; line_bytes counts digits */
	EXT_SPACE,  /* blanks before ';' */
	EXT,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	LAST,	  /* behind the last chunk's line */
	END_LF,	  /* of an empty trailer section */
	TRAILERS, /* at_trailers: sn_h1_parse_trailers goes on */
	FAILED,
};

#define DIGITS_MAX 16
#define TRAILER_BYTES_MAX 8192
/* Octets of extensions that may come without payload to pay for them (so that a body of one-byte
 * chunks cannot carry a thousandfold of ignored octets). */
#define OVERHEAD_MAX 16384

void sn_h1_body_init(struct sn_h1_body *b, enum sn_framing framing, uint64_t content_length)
{
	*b = (struct sn_h1_body){
		.framing = framing,
		.left = framing == SN_FRAMING_LENGTH ? content_length : 0,
		.state = SIZE_FIRST,
		.hop_names = sn_slice("", 0),
	};
	b->done =
		framing == SN_FRAMING_NONE || (framing == SN_FRAMING_LENGTH && content_length == 0);
}

static enum state size_octet(struct sn_h1_body *b, char c)
{
	if (sn_char_is(c, SN_CH_HEX)) {
		if (b->state == SIZE_FIRST)
			b->line_bytes = 0;
		if (++b->line_bytes > DIGITS_MAX)
			return FAILED;
		b->left = b->left << 4 | sn_char_hex(c);
		return SIZE;
	}
	if (b->state == SIZE_FIRST || b->left > INT64_MAX)
		return FAILED;
	if (c == '\r')
		return SIZE_LF;
	if (c == ';')
		return EXT;
	return c == ' ' || c == '\t' ? EXT_SPACE : FAILED;
}

static enum state ext_octet(struct sn_h1_body *b, char c)
{
	if (++b->overhead > OVERHEAD_MAX)
		return FAILED;
	if (b->state == EXT_SPACE) {
		if (c == ';')
			return EXT;
		return c == ' ' || c == '\t' ? EXT_SPACE : FAILED;
	}
	if (c == '\r')
		return SIZE_LF;
	return sn_char_is(c, SN_CH_VALUE) ? EXT : FAILED;
}

/* The state behind one octet of framing. */
static enum state next_state(struct sn_h1_body *b, char c)
{
	switch (b->state) {
	case SIZE_FIRST:
	case SIZE:
		return size_octet(b, c);
	case EXT_SPACE:
	case EXT:
		return ext_octet(b, c);
	case SIZE_LF:
		if (c != '\n')
			return FAILED;
		b->line_bytes = 0;
		return b->left > 0 ? DATA : LAST;
	case DATA_CR:
		return c == '\r' ? DATA_LF : FAILED;
	case DATA_LF:
		return c == '\n' ? SIZE_FIRST : FAILED;
	case LAST:
		b->at_trailers = c != '\r';
		return c == '\r' ? END_LF : TRAILERS;
	case END_LF:
		b->done = c == '\n';
		return c == '\n' ? END_LF : FAILED;
	default:
		return FAILED;
	}
}

static struct sn_slice take_payload(struct sn_h1_body *b, struct sn_slice in)
{
	struct sn_slice run = in;

	if (run.n > b->left)
		run.n = (size_t)b->left;
	b->left -= run.n;
	return run;
}

/* Takes a plain "HEX CRLF" at once; @p when it is anything else, or not all there: then the machine
 * says what it is. */
static const char *whole_size_line(struct sn_h1_body *b, const char *p, const char *end)
{
	const char *digit = p;
	uint64_t left = 0;

	while (digit < end && digit - p < DIGITS_MAX && sn_char_is(*digit, SN_CH_HEX))
		left = left << 4 | sn_char_hex(*digit++);
	if (digit == p || left > INT64_MAX || end - digit < 2 || memcmp(digit, "\r\n", 2) != 0)
		return p;
	b->left = left;
	b->state = left > 0 ? DATA : LAST;
	return digit + 2;
}

/* The same for the CRLF behind data and that of an empty trailer section. */
static const char *whole_crlf(struct sn_h1_body *b, const char *p, const char *end)
{
	if (end - p < 2 || memcmp(p, "\r\n", 2) != 0)
		return p;
	if (b->state == DATA_CR)
		b->state = SIZE_FIRST;
	else
		b->done = true;
	return p + 2;
}

static const char *whole(struct sn_h1_body *b, const char *p, const char *end)
{
	switch (b->state) {
	case SIZE_FIRST:
		return whole_size_line(b, p, end);
	case DATA_CR:
	case LAST:
		return whole_crlf(b, p, end);
	default:
		return p;
	}
}

/* Goes on over framing behind the payload, so that a small body is one call, and stops before a
 * second run of payload. An octet that is wrong behind payload is not used up: the next call
 * reports it. */
static ptrdiff_t feed_chunked(struct sn_h1_body *b, struct sn_slice in,
			      struct sn_slice *ret_payload)
{
	const char *p = in.p, *end = in.p + in.n, *from;

	while (p < end && !b->done) {
		if (b->state == DATA) {
			if (ret_payload->n > 0)
				break;
			*ret_payload = take_payload(b, sn_slice(p, (size_t)(end - p)));
			p += ret_payload->n;
			b->overhead = b->overhead > ret_payload->n
					      ? b->overhead - (uint32_t)ret_payload->n
					      : 0;
			if (b->left == 0)
				b->state = DATA_CR;
			continue;
		}
		from = p;
		p = whole(b, from, end);
		if (p != from)
			continue;
		b->state = (uint8_t)next_state(b, *p);
		if (b->state == FAILED)
			return ret_payload->n > 0 ? p - in.p : -SN_EPROTO;
		if (b->state == TRAILERS)
			break;
		p++;
	}
	return p - in.p;
}

ptrdiff_t sn_h1_body_feed(struct sn_h1_body *b, struct sn_slice in, struct sn_slice *ret_payload)
{
	*ret_payload = sn_slice(in.p, 0);
	if (b->done || b->at_trailers || in.n == 0)
		return 0;
	switch (b->framing) {
	case SN_FRAMING_LENGTH:
		*ret_payload = take_payload(b, in);
		b->done = b->left == 0;
		return (ptrdiff_t)ret_payload->n;
	case SN_FRAMING_CLOSE:
		*ret_payload = in;
		return (ptrdiff_t)in.n;
	case SN_FRAMING_CHUNKED:
		return feed_chunked(b, in, ret_payload);
	default:
		return -SN_EPROTO;
	}
}

int sn_h1_hop_names(const struct sn_headers *head, struct sn_buf *out)
{
	for (uint32_t i = 0; i < head->n; i++) {
		struct sn_slice rest = head->v[i].value;

		if (head->v[i].id != SN_HDR_CONNECTION)
			continue;
		while (rest.n > 0) {
			struct sn_slice name = sn_slice_trim(sn_slice_cut(&rest, ','));
			int rc;

			if (name.n == 0 || SN_IEQ_LIT(name, "close") ||
			    SN_IEQ_LIT(name, "keep-alive") || SN_IEQ_LIT(name, "upgrade") ||
			    SN_IEQ_LIT(name, "te"))
				continue;
			rc = sn_buf_putc(out, ',');
			if (rc == 0)
				rc = sn_buf_append(out, name.p, name.n);
			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

static bool is_listed(struct sn_slice names, struct sn_slice name)
{
	while (names.n > 0)
		if (sn_slice_ieq(sn_slice_cut(&names, ','), name))
			return true;
	return false;
}

int sn_h1_parse_trailers(struct sn_slice in, size_t *scanned, struct sn_h1_body *b,
			 struct sn_headers *hs)
{
	struct sn_h1_refusal unused;
	struct sn_h1__cursor c = {.begin = in.p, .p = in.p, .refusal = &unused, .status = 400};
	int rc;

	hs->n = 0;
	if (!b->at_trailers)
		return -SN_EPROTO;
	if (!sn_h1__worth_parsing(in, scanned, TRAILER_BYTES_MAX, TRAILER_BYTES_MAX))
		return -SN_EMORE;
	c.end = in.p + (in.n < TRAILER_BYTES_MAX ? in.n : TRAILER_BYTES_MAX);
	rc = sn_h1__fields(&c, hs, SN_TRAILERS_MAX, NULL);
	if (rc == -SN_EMORE && in.n < TRAILER_BYTES_MAX)
		return rc;
	*scanned = 0;
	b->at_trailers = false;
	if (rc != 0) {
		hs->n = 0;
		b->state = FAILED;
		return -SN_EPROTO;
	}
	b->done = true;
	for (uint32_t i = 0; i < hs->n; i++)
		if (!sn_trailer_allowed((enum sn_hdr_id)hs->v[i].id, hs->v[i].name) ||
		    is_listed(b->hop_names, hs->v[i].name))
			hs->v[i].flags |= SN_HDR_DROPPED;
	return (int)(c.p - in.p);
}

int sn_h1_body_eof(struct sn_h1_body *b)
{
	if (b->framing == SN_FRAMING_CLOSE)
		b->done = true;
	return b->done ? 0 : -SN_EPROTO;
}

size_t sn_h1_chunk_head(uint64_t n_bytes, char dst[20])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 1;

	while (n < 16 && n_bytes >> (4 * n) != 0)
		n++;
	for (size_t i = 0; i < n; i++)
		dst[i] = digits[n_bytes >> (4 * (n - 1 - i)) & 15];
	dst[n] = '\r';
	dst[n + 1] = '\n';
	return n + 2;
}
