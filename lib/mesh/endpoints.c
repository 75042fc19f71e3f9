/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of endpoints: made sorted, so that what a source says in another order is the same set, and
 * two are compared in one pass. */
#include "mesh/endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define ZONE_MAX 63

/* --- sets ---------------------------------------------------------------------------------------
 */

static int compare(const struct sn_endpoint_spec *a, const struct sn_endpoint_spec *b)
{
	int c = memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip));

	if (a->addr.family != b->addr.family)
		return a->addr.family < b->addr.family ? -1 : 1;
	if (c)
		return c;
	if (a->addr.port != b->addr.port)
		return a->addr.port < b->addr.port ? -1 : 1;
	if (a->addr.scope != b->addr.scope)
		return a->addr.scope < b->addr.scope ? -1 : 1;
	return (a->service_port > b->service_port) - (a->service_port < b->service_port);
}

/* Where two are the same endpoint, the one that came first stays the first. */
struct ordered {
	struct sn_endpoint_spec spec;
	size_t at;
};

static int compare_ordered(const void *x, const void *y)
{
	const struct ordered *a = x, *b = y;
	int c = compare(&a->spec, &b->spec);

	return c ? c : (a->at > b->at) - (a->at < b->at);
}

struct sn_endpoint_set *sn_endpoint_set_new(const struct sn_endpoint_spec *items, size_t n)
{
	struct ordered *all = calloc(n ? n : 1, sizeof(*all));
	struct sn_endpoint_set *s;
	size_t text = 0, i;
	char *zones;

	for (i = 0; i < n; i++)
		text += items[i].zone.n;
	s = calloc(1, sizeof(*s) + n * sizeof(*items) + text);
	if (!s || !all) {
		free(s);
		free(all);
		return NULL;
	}
	zones = (char *)(s->items + n); /* their names live behind the last one */
	for (i = 0; i < n; i++) {
		all[i] = (struct ordered){items[i], i};
		memcpy(zones, items[i].zone.p ? items[i].zone.p : "", items[i].zone.n);
		all[i].spec.zone.p = zones;
		zones += items[i].zone.n;
	}
	qsort(all, n, sizeof(*all), compare_ordered);
	for (i = 0; i < n; i++)
		if (s->n == 0 || compare(&s->items[s->n - 1], &all[i].spec) != 0)
			s->items[s->n++] = all[i].spec;
	free(all);
	sn_refcount_init(&s->refs);
	return s;
}

struct sn_endpoint_set *sn_endpoint_set_ref(struct sn_endpoint_set *s)
{
	sn_refcount_inc(&s->refs);
	return s;
}

void sn_endpoint_set_unref(struct sn_endpoint_set *s)
{
	if (s && sn_refcount_dec(&s->refs))
		free(s);
}

bool sn_endpoint_set_eq(const struct sn_endpoint_set *a, const struct sn_endpoint_set *b)
{
	size_t i;

	if (!a || !b || a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (compare(&a->items[i], &b->items[i]) != 0 ||
		    a->items[i].weight != b->items[i].weight ||
		    a->items[i].mesh != b->items[i].mesh ||
		    !sn_slice_eq(a->items[i].zone, b->items[i].zone))
			return false;
	return true;
}

void sn_endpoint_set_diff(const struct sn_endpoint_set *was, const struct sn_endpoint_set *now,
			  size_t *ret_added, size_t *ret_removed)
{
	size_t n_was = was ? was->n : 0, i = 0, k = 0;
	int c;

	*ret_added = *ret_removed = 0;
	while (i < n_was || k < now->n) {
		c = i == n_was ? 1 : k == now->n ? -1 : compare(&was->items[i], &now->items[k]);
		*ret_removed += c < 0;
		*ret_added += c > 0;
		i += c <= 0;
		k += c >= 0;
	}
}

/* --- files --------------------------------------------------------------------------------------
 */

static struct sn_slice word(struct sn_slice *rest)
{
	struct sn_slice w;

	*rest = sn_slice_trim(*rest);
	for (w = *rest, w.n = 0; w.n < rest->n && w.p[w.n] != ' ' && w.p[w.n] != '\t';)
		w.n++;
	*rest = sn_slice_trim(sn_slice(rest->p + w.n, rest->n - w.n));
	return w;
}

static int parse_line(struct sn_slice line, struct sn_endpoint_spec *e, struct sn_err *err)
{
	struct sn_slice ip = word(&line), port = word(&line), mark;
	uint64_t n;

	*e = (struct sn_endpoint_spec){.weight = 1};
	if (sn_num_u64(port, 65535, &n) || n == 0)
		return sn_err_set(err, SN_ECONF, "expected \"ADDRESS PORT\", port 1 to 65535");
	if (sn_addr_parse_ip(ip, (uint16_t)n, &e->addr))
		return sn_err_set(err, SN_ECONF, "\"%.*s\" is not an IP address", SN_ARG(ip));
	while (line.n) {
		mark = word(&line);
		if (sn_slice_eq_cstr(mark, "*")) {
			if (sn_num_u64(word(&line), 65535, &n))
				return sn_err_set(err, SN_ECONF,
						  "the weight behind \"*\" is 0 to 65535");
			e->weight = (uint32_t)n;
		} else if (sn_slice_eq_cstr(mark, "@")) {
			if (sn_num_u64(word(&line), 65535, &n) || n == 0)
				return sn_err_set(err, SN_ECONF,
						  "the port behind \"@\" is 1 to 65535");
			e->service_port = (uint16_t)n;
		} else if (sn_slice_starts(mark, SN_SLICE("zone="))) {
			e->zone = sn_slice(mark.p + 5, mark.n - 5);
			if (e->zone.n == 0 || e->zone.n > ZONE_MAX)
				return sn_err_set(err, SN_ECONF, "a zone's name has 1 to %d bytes",
						  ZONE_MAX);
		} else {
			return sn_err_set(err, SN_ECONF,
					  "\"%.*s\": expected \"* WEIGHT\", \"@ SERVICEPORT\" or "
					  "\"zone=NAME\"",
					  SN_ARG(mark));
		}
	}
	return 0;
}

/* All lines into @list; *ret_none: it was the word "none". */
static int parse_lines(struct sn_slice rest, struct sn_endpoint_spec *list, size_t *ret_n,
		       bool *ret_none, struct sn_err *err)
{
	struct sn_slice line;
	size_t number = 0, n = 0;
	int rc = 0;

	*ret_none = false;
	while (rest.p && rc == 0) {
		line = sn_slice_cut(&rest, '\n');
		number++;
		line = sn_slice_trim(sn_slice_cut(&line, '#'));
		if (line.n && line.p[line.n - 1] == '\r')
			line = sn_slice_trim(sn_slice(line.p, line.n - 1));
		if (line.n == 0)
			continue;
		if (*ret_none)
			rc = sn_err_set(err, SN_ECONF, "something besides \"none\"");
		else if (n == 0 && sn_slice_eq_cstr(line, "none"))
			*ret_none = true;
		else if (n == SN_ENDPOINTS_MAX)
			rc = sn_err_set(err, SN_ECONF, "more than %d endpoints", SN_ENDPOINTS_MAX);
		else
			rc = parse_line(line, &list[n++], err);
	}
	*ret_n = n;
	return rc ? sn_err_wrap(err, "line %zu", number) : 0;
}

static size_t count_lines(struct sn_slice text)
{
	size_t n = 1, i;

	for (i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n < SN_ENDPOINTS_MAX ? n : SN_ENDPOINTS_MAX;
}

static bool all_without_weight(const struct sn_endpoint_spec *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (list[i].weight)
			return false;
	return true;
}

int sn_endpoint_set_parse(struct sn_slice text, struct sn_endpoint_set **ret, struct sn_err *err)
{
	struct sn_endpoint_spec *list;
	struct sn_endpoint_set *s = NULL;
	bool none;
	size_t n;
	int rc;

	if (text.n && text.p[text.n - 1] != '\n')
		return sn_err_set(err, SN_ECONF, "the last line has no end: half written?");
	list = calloc(count_lines(text), sizeof(*list));
	if (!list)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	rc = parse_lines(text, list, &n, &none, err);
	if (rc == 0 && n == 0 && !none)
		rc = sn_err_set(err, SN_ECONF,
				"no endpoints in it; a file that means none says \"none\"");
	if (rc == 0 && n && all_without_weight(list, n))
		rc = sn_err_set(err, SN_ECONF, "all weights are 0");
	if (rc == 0 && !(s = sn_endpoint_set_new(list, n)))
		rc = sn_err_set(err, SN_ENOMEM, "out of memory");
	free(list);
	if (rc == 0)
		*ret = s;
	return rc;
}
