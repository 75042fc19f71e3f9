/* SPDX-License-Identifier: Apache-2.0 */
/* A head costs a few copies of whole runs: measured cheaper than one iovec per kept run. Its room
 * is reserved once, by an upper bound, so that the copies check nothing. */
#include "http/headout.h"

#include <string.h>

#include "base/err.h"

/* All that is written besides what comes from the message: the longest status line's reason,
 * framing, and Connection with its like. */
#define CONSTANTS_MAX 256

#define BIT(id) (UINT32_C(1) << (id))
_Static_assert(SN_HDR_COUNT <= 32, "ids do not fit in a mask");

/* Room for @n bytes and the constants; NULL with *ret_rc set when there is none. */
static char *room(struct sn_buf *out, size_t n, int *ret_rc)
{
	*ret_rc = sn_buf_reserve(out, n + CONSTANTS_MAX);
	return *ret_rc ? NULL : out->data + out->end;
}

static int written(struct sn_buf *out, const char *p)
{
	out->end = (size_t)(p - out->data);
	return 0;
}

static inline char *put(char *p, const char *from, size_t n)
{
	memcpy(p, from, n);
	return p + n;
}

static inline char *put_slice(char *p, struct sn_slice s)
{
	return s.n ? put(p, s.p, s.n) : p;
}

#define PUT(p, lit) put((p), (lit), sizeof(lit) - 1)

static char *put_line(char *p, struct sn_slice name, struct sn_slice value)
{
	p = put_slice(p, name);
	p = PUT(p, ": ");
	p = put_slice(p, value);
	return PUT(p, "\r\n");
}

/* Bytes of the fields that filters have added. */
static size_t added_bytes(const struct sn_headers *hs, uint32_t n_parsed)
{
	size_t n = 0;

	for (uint32_t i = n_parsed; i < hs->n; i++)
		n += hs->v[i].name.n + hs->v[i].value.n + 4;
	return n;
}

/* Where the parsed field @i ends: at the next one, or before the empty line. */
static const char *field_end(struct sn_slice head, const struct sn_headers *hs, uint32_t i,
			     uint32_t n_parsed)
{
	return i + 1 < n_parsed ? hs->v[i + 1].name.p : head.p + head.n - 2;
}

static bool is_left_out(const struct sn_header *h, uint32_t skip)
{
	return (h->flags & (SN_HDR_HOP | SN_HDR_DROPPED)) || (skip & BIT(h->id));
}

/* A length that came with anything but one space before it is written anew: there are recipients
 * that do not see one behind a tab, and then take all that follows for the body. */
static bool is_odd_length(const struct sn_header *h)
{
	return h->id == SN_HDR_CONTENT_LENGTH &&
	       (h->value.p != h->name.p + h->name.n + 2 || h->value.p[-1] != ' ');
}

/* @skip: a mask of ids. */
static char *put_fields(char *p, struct sn_slice head, const struct sn_headers *hs,
			uint32_t n_parsed, uint32_t skip)
{
	const struct sn_header *v = hs->v;
	uint32_t i = 0;

	while (i < n_parsed) {
		const char *run;

		if (is_left_out(&v[i], skip)) {
			i++;
			continue;
		}
		if (is_odd_length(&v[i])) {
			p = put_line(p, v[i].name, v[i].value);
			i++;
			continue;
		}
		run = v[i].name.p;
		while (i + 1 < n_parsed && !is_left_out(&v[i + 1], skip) &&
		       !is_odd_length(&v[i + 1]))
			i++;
		p = put(p, run, (size_t)(field_end(head, hs, i, n_parsed) - run));
		i++;
	}
	for (; i < hs->n; i++)
		if (!is_left_out(&v[i], skip))
			p = put_line(p, v[i].name, v[i].value);
	return p;
}

/* How many fields came with the head: its own are in order there, which one that a filter has added
 * cannot be, even if it borrows an old name. */
static uint32_t count_parsed(struct sn_slice head, const struct sn_headers *hs)
{
	uintptr_t from = (uintptr_t)head.p, end = from + head.n;
	uint32_t n = 0;

	while (n < hs->n && (uintptr_t)hs->v[n].name.p >= from &&
	       (uintptr_t)hs->v[n].name.p < end) {
		from = (uintptr_t)hs->v[n].name.p + hs->v[n].name.n;
		n++;
	}
	return n;
}

static char *put_upgrade(char *p, struct sn_slice to)
{
	p = PUT(p, "Connection: Upgrade\r\nUpgrade: ");
	p = put_slice(p, to);
	return PUT(p, "\r\n");
}

/* An HTTP/1.0 request may come without Host; what we send is 1.1 and must have one, if only an
 * empty one (RFC 9112 3.2). */
static bool lacks_host(const struct sn_request *req)
{
	return req->absolute_form ||
	       (req->authority.n == 0 && !sn_headers_find_id(&req->headers, SN_HDR_HOST));
}

static char *put_request_line(char *p, const struct sn_request *req)
{
	if (req->method == SN_METHOD_CONNECT && req->upgrade) {
		p = PUT(p, "GET "); /* RFC 8441 5 and RFC 6455 4.1 */
		p = put_slice(p, req->path);
	} else {
		p = put_slice(p, req->method_text);
		*p++ = ' ';
		p = put_slice(p, req->method == SN_METHOD_CONNECT ? req->authority : req->path);
	}
	return PUT(p, " HTTP/1.1\r\n");
}

int sn_headout_request(struct sn_buf *out, struct sn_slice head, const struct sn_request *req,
		       uint32_t n_parsed)
{
	bool put_host = lacks_host(req);
	uint32_t skip = 0;
	char *p;
	int rc;

	p = room(out,
		 req->method_text.n + req->path.n + 2 * req->authority.n + head.n +
			 req->upgrade_to.n + added_bytes(&req->headers, n_parsed),
		 &rc);
	if (!p)
		return rc;
	p = put_request_line(p, req);
	if (put_host) {
		p = put_line(p, SN_SLICE("Host"), req->authority);
		skip |= BIT(SN_HDR_HOST);
	}
	if (req->framing == SN_FRAMING_CHUNKED || req->upgrade)
		skip |= BIT(SN_HDR_CONTENT_LENGTH);
	p = put_fields(p, head, &req->headers, n_parsed, skip);
	if (req->upgrade)
		p = put_upgrade(p, req->upgrade_to);
	else if (req->framing == SN_FRAMING_CHUNKED)
		p = PUT(p, "Transfer-Encoding: chunked\r\n");
	return written(out, PUT(p, "\r\n"));
}

static char *put_status_line(char *p, const struct sn_response *resp)
{
	unsigned status = resp->status;

	p = PUT(p, "HTTP/1.1 ");
	*p++ = (char)('0' + status / 100 % 10);
	*p++ = (char)('0' + status / 10 % 10);
	*p++ = (char)('0' + status % 10);
	*p++ = ' ';
	p = put_slice(p, resp->major == 2 ? sn_slice_cstr(sn_status_reason(status)) : resp->reason);
	return PUT(p, "\r\n");
}

static char *put_length(char *p, uint64_t length)
{
	char digits[20];
	size_t n = 0;

	p = PUT(p, "Content-Length: ");
	do {
		digits[n++] = (char)('0' + length % 10);
		length /= 10;
	} while (length > 0);
	while (n > 0)
		*p++ = digits[--n];
	return PUT(p, "\r\n");
}

int sn_headout_response(struct sn_buf *out, struct sn_slice head, const struct sn_response *resp,
			enum sn_headout_body body, bool close)
{
	uint32_t n_parsed = count_parsed(head, &resp->headers), skip = 0;
	bool bodiless = resp->status < 200 || resp->status == 204; /* RFC 9110 8.6 */
	char *p;
	int rc;

	if (bodiless || body != SN_HEADOUT_AS_DECLARED)
		skip = BIT(SN_HDR_CONTENT_LENGTH);
	p = room(out,
		 resp->reason.n + head.n + resp->upgrade_to.n +
			 added_bytes(&resp->headers, n_parsed),
		 &rc);
	if (!p)
		return rc;
	p = put_status_line(p, resp);
	p = put_fields(p, head, &resp->headers, n_parsed, skip);
	if (resp->upgrade)
		return written(out, PUT(put_upgrade(p, resp->upgrade_to), "\r\n"));
	if (body == SN_HEADOUT_CHUNKED && !bodiless)
		p = PUT(p, "Transfer-Encoding: chunked\r\n");
	else if (body == SN_HEADOUT_LENGTH && !bodiless)
		p = put_length(p, resp->content_length);
	if (close || body == SN_HEADOUT_CLOSE)
		p = PUT(p, "Connection: close\r\n");
	return written(out, PUT(p, "\r\n"));
}

int sn_headout_trailers(struct sn_buf *out, struct sn_slice head, const struct sn_headers *hs)
{
	uint32_t n_parsed = count_parsed(head, hs);
	int rc;
	char *p = room(out, head.n + added_bytes(hs, n_parsed), &rc);

	if (!p)
		return rc;
	p = put_fields(p, head, hs, n_parsed, 0);
	return written(out, PUT(p, "\r\n"));
}
