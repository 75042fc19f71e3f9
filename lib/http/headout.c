/* SPDX-License-Identifier: Apache-2.0 */
/* A head costs a few copies of whole runs: measured cheaper than one iovec per kept run. */
#include "http/headout.h"

#include "base/err.h"

/* Where the parsed field @i ends: at the next one, or before the empty line. */
static const char *field_end(struct sn_slice head, const struct sn_headers *hs, uint32_t i,
			     uint32_t n_parsed)
{
	return i + 1 < n_parsed ? hs->v[i + 1].name.p : head.p + head.n - 2;
}

static void put_fields(struct sn_buf *out, struct sn_slice head, const struct sn_headers *hs,
		       uint32_t n_parsed, bool skip_host, bool skip_length)
{
	const char *run = NULL, *run_end = NULL;
	uint32_t i;

	for (i = 0; i < n_parsed; i++) {
		const struct sn_header *h = &hs->v[i];
		bool skip = h->flags & (SN_HDR_HOP | SN_HDR_DROPPED) ||
			    (skip_host && h->id == SN_HDR_HOST) ||
			    (skip_length && h->id == SN_HDR_CONTENT_LENGTH);

		if (skip) {
			if (run)
				sn_buf_append(out, run, (size_t)(run_end - run));
			run = NULL;
			continue;
		}
		if (!run)
			run = h->name.p;
		run_end = field_end(head, hs, i, n_parsed);
	}
	if (run)
		sn_buf_append(out, run, (size_t)(run_end - run));
	for (; i < hs->n; i++) {
		const struct sn_header *h = &hs->v[i];

		if (h->flags & (SN_HDR_HOP | SN_HDR_DROPPED))
			continue;
		sn_buf_append(out, h->name.p, h->name.n);
		sn_buf_append(out, ": ", 2);
		sn_buf_append(out, h->value.p, h->value.n);
		sn_buf_append(out, "\r\n", 2);
	}
}

int sn_headout_trailers(struct sn_buf *out, struct sn_slice head, const struct sn_headers *hs)
{
	put_fields(out, head, hs, hs->n, false, false);
	sn_buf_append(out, "\r\n", 2);
	return out->failed ? -SN_ENOMEM : 0;
}

int sn_headout_request(struct sn_buf *out, struct sn_slice head, const struct sn_request *req,
		       uint32_t n_parsed)
{
	bool rewrite_host = req->absolute_form;

	sn_buf_append(out, req->method_text.p, req->method_text.n);
	sn_buf_putc(out, ' ');
	sn_buf_append(out, req->path.p, req->path.n);
	sn_buf_append(out, " HTTP/1.1\r\n", 11);
	if (rewrite_host) {
		sn_buf_append(out, "Host: ", 6);
		sn_buf_append(out, req->authority.p, req->authority.n);
		sn_buf_append(out, "\r\n", 2);
	}
	put_fields(out, head, &req->headers, n_parsed, rewrite_host, false);
	if (req->framing == SN_FRAMING_CHUNKED)
		sn_buf_puts(out, "Transfer-Encoding: chunked\r\n");
	sn_buf_append(out, "\r\n", 2);
	return out->failed ? -SN_ENOMEM : 0;
}

int sn_headout_response(struct sn_buf *out, struct sn_slice head, const struct sn_response *resp,
			bool chunked, bool close)
{
	sn_buf_printf(out, "HTTP/1.1 %u %.*s\r\n", resp->status, SN_ARG(resp->reason));
	put_fields(out, head, &resp->headers, resp->headers.n, false, chunked);
	if (chunked)
		sn_buf_puts(out, "Transfer-Encoding: chunked\r\n");
	if (close)
		sn_buf_puts(out, "Connection: close\r\n");
	sn_buf_append(out, "\r\n", 2);
	return out->failed ? -SN_ENOMEM : 0;
}
