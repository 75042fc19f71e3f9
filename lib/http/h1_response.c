/* SPDX-License-Identifier: Apache-2.0 */
/* Parses response heads. A server is no more trusted than a client: what it sends decides where its
 * answer ends, and an answer that ends somewhere else is given to the wrong client. */
#include "http/h1_int.h"

#include "http/chars.h"

static int refuse(struct sn_h1__cursor *c, const char *reason)
{
	return sn_h1__refuse(c, 502, reason);
}

/* Behind the status: [SP reason] CRLF; the space is missing often enough to be let go. */
static int reason(struct sn_h1__cursor *c, struct sn_response *resp)
{
	const char *p = c->p, *stop;

	if (p == c->end)
		return -SN_EMORE;
	if (*p == ' ')
		p++;
	else if (*p != '\r')
		return refuse(c, "bad-status-line");
	c->p = stop = sn_char_scan_now->value(c->begin, p, c->end);
	resp->reason = sn_slice(p, (size_t)(stop - p));
	if (stop > p && (*p <= ' ' || stop[-1] <= ' '))
		resp->reason = sn_slice_trim(resp->reason);
	return sn_h1__crlf(c, "bad-status-line");
}

/* version SP 3DIGIT reason */
static int status_line(struct sn_h1__cursor *c, struct sn_response *resp)
{
	static const char usual[] = "HTTP/1.1 200 OK\r\n";
	const size_t n_usual = sizeof(usual) - 1;
	unsigned status = 0;
	const char *p = c->p;
	int rc;

	if ((size_t)(c->end - p) >= n_usual && memcmp(p, usual, n_usual) == 0) {
		resp->minor = 1;
		resp->status = 200;
		resp->reason = sn_slice(p + 13, 2);
		c->p += n_usual;
		return 0;
	}
	rc = sn_h1__version(c, 502, &resp->minor);
	if (rc != 0)
		return rc;
	p = c->p;
	for (int i = 0; i < 4; i++, p++) {
		if (p == c->end)
			return -SN_EMORE;
		if (i == 0 ? *p != ' ' : !sn_char_is(*p, SN_CH_DIGIT))
			return refuse(c, "bad-status-line");
		if (i > 0)
			status = status * 10 + (unsigned)(*p - '0');
	}
	if (status < 100)
		return refuse(c, "bad-status-line");
	resp->status = (uint16_t)status;
	c->p = p;
	return reason(c, resp);
}

/* RFC 9112 6.3 with regard to what was asked. */
static void body_of(struct sn_response *resp, enum sn_method request_method, bool framed)
{
	if (request_method == SN_METHOD_HEAD || resp->status < 200 || resp->status == 204 ||
	    resp->status == 304 || (request_method == SN_METHOD_CONNECT && resp->status < 300))
		resp->framing = SN_FRAMING_NONE;
	else if (!framed)
		resp->framing = SN_FRAMING_CLOSE;
}

static int finish(struct sn_h1__cursor *c, struct sn_h1__facts *f, enum sn_method request_method,
		  struct sn_response *resp)
{
	int rc = sn_h1__framing(c, f, resp->minor, &resp->framing, &resp->content_length);

	if (rc == 0)
		rc = sn_h1__connection(c, &resp->headers, f);
	if (rc != 0)
		return rc;
	body_of(resp, request_method, resp->framing != SN_FRAMING_NONE);
	resp->upgrade = resp->status == 101;
	if (resp->upgrade &&
	    (resp->minor == 0 || !f->connection_upgrade || f->n_upgrade != 1 || f->upgrade.n == 0))
		return refuse(c, "bad-upgrade");
	resp->upgrade_to = resp->upgrade ? f->upgrade : sn_slice("", 0);
	resp->keep_alive = !f->close && (resp->minor >= 1 || f->keep_alive) &&
			   resp->framing != SN_FRAMING_CLOSE && !resp->upgrade;
	return 0;
}

int sn_h1_parse_response(struct sn_slice in, size_t *scanned, const struct sn_h1_limits *lim,
			 enum sn_method request_method, struct sn_response *resp,
			 struct sn_h1_refusal *ret_refusal)
{
	struct sn_h1__cursor c = {.begin = in.p, .p = in.p, .refusal = ret_refusal, .status = 502};
	struct sn_h1__facts f = {0};
	int rc;

	if (!sn_h1__worth_parsing(in, scanned, lim->head_bytes, lim->request_line_bytes))
		return -SN_EMORE;
	c.end = in.p + (in.n < lim->head_bytes ? in.n : lim->head_bytes);
	resp->headers.n = 0;
	resp->major = 1;
	rc = status_line(&c, resp);
	if (rc == 0)
		rc = sn_h1__fields(&c, &resp->headers, lim->header_count, &f);
	if (rc == -SN_EMORE && in.n >= lim->head_bytes)
		return refuse(&c, "head-too-large");
	if (rc == 0)
		rc = finish(&c, &f, request_method, resp);
	if (rc != 0)
		return rc;
	*scanned = 0;
	return (int)(c.p - in.p);
}
