/* SPDX-License-Identifier: Apache-2.0 */
/* The annotations, one row each. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "base/ports.h"
#include "operator/inject/inject_int.h"

#define PREFIX "config.sennit.dev/"

void sn_inject_warn(struct sn_inject_warnings *w, const char *fmt, ...)
{
	char text[512];
	const char *copy;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	copy = sn_arena_printf(w->arena, "sennit: %s", text); /* whose warning this is */
	if (copy && w->n < SN_WARNINGS_MAX)
		w->text[w->n++] = copy;
}

static bool is_level(const char *s)
{
	enum sn_log_level unused;

	return sn_log_parse_level(s, &unused) == 0;
}

static bool is_ports(const char *s)
{
	struct sn_ports p;

	return strlen(s) <= 1024 && strspn(s, "0123456789,- ") == strlen(s) &&
	       sn_ports_parse(s, &p, NULL) == 0 && p.n > 0;
}

static bool is_image(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 512 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./:@_-") ==
		       n;
}

/* A Kubernetes quantity in its plain forms, as a number; < 0: it is none. */
static double quantity(const char *s)
{
	static const struct {
		const char *unit;
		double factor;
	} units[] = {{"", 1},	 {"m", 0.001},	 {"k", 1e3},	    {"M", 1e6},
		     {"G", 1e9}, {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0}};
	size_t digits = strspn(s, "0123456789"), i;
	const char *rest = s + digits;

	if (digits == 0 || digits > 12)
		return -1;
	if (*rest == '.') {
		size_t more = strspn(rest + 1, "0123456789");

		if (more == 0 || more > 6)
			return -1;
		rest += 1 + more;
	}
	for (i = 0; i < SN_ARRAY_LEN(units); i++)
		if (strcmp(rest, units[i].unit) == 0)
			return strtod(s, NULL) * units[i].factor;
	return -1;
}

static bool is_quantity(const char *s)
{
	return quantity(s) > 0;
}

static bool is_duration(const char *s)
{
	uint64_t ms;

	return sn_num_duration_ms(sn_slice_cstr(s), &ms) == 0 && ms <= 3600u * 1000;
}

static const struct row {
	const char *name;
	bool (*ok)(const char *s);
	size_t offset;
	const char *def, *expected;
} rows[] = {
#define ROW(name, ok, member, def, expected)                                                       \
	{                                                                                          \
		name, ok, offsetof(struct sn_inject_settings, member), def, expected               \
	}
	ROW("proxy-image", is_image, image, NULL, "an image reference"),
	ROW("proxy-log-level", is_level, log_level, NULL, "error, warn, info or debug"),
	ROW("skip-inbound-ports", is_ports, skip_inbound, NULL, "ports such as 22,9000-9100"),
	ROW("skip-outbound-ports", is_ports, skip_outbound, NULL, "ports such as 3306,5432"),
	ROW("opaque-ports", is_ports, opaque_ports, NULL, "ports such as 3306,5432"),
	ROW("proxy-cpu-request", is_quantity, cpu_request, "10m", "a quantity such as 10m or 0.5"),
	ROW("proxy-memory-request", is_quantity, memory_request, "16Mi", "a quantity such as 32Mi"),
	ROW("proxy-memory-limit", is_quantity, memory_limit, "64Mi", "a quantity such as 128Mi"),
	ROW("shutdown-grace-period", is_duration, grace_period, NULL,
	    "a duration up to 1h such as 30s"),
#undef ROW
};

static const struct row *row_of(const char *name)
{
	size_t i;

	for (i = 0; i < SN_ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static void unknown(const char *name, struct sn_inject_warnings *w)
{
	static const char *const later[] = {"access-log", "trace-sampling",
					    "default-inbound-policy"};
	size_t i;

	for (i = 0; i < SN_ARRAY_LEN(later); i++)
		if (strcmp(later[i], name) == 0) {
			sn_inject_warn(w, PREFIX "%s: this version does not have it; ignored",
				       name);
			return;
		}
	for (i = 0; i < SN_ARRAY_LEN(rows); i++)
		if (sn_str_distance(rows[i].name, name, 2) <= 2) {
			sn_inject_warn(w, PREFIX "%s: unknown, ignored; did you mean %s?", name,
				       rows[i].name);
			return;
		}
	sn_inject_warn(w, PREFIX "%.100s: unknown, ignored", name);
}

void sn_inject_settings_read(const struct sn_val *annotations, const char *default_image,
			     struct sn_inject_settings *ret, struct sn_inject_warnings *w)
{
	size_t i;

	memset(ret, 0, sizeof(*ret));
	for (i = 0; i < SN_ARRAY_LEN(rows); i++)
		memcpy((char *)ret + rows[i].offset, &rows[i].def, sizeof(rows[i].def));
	ret->image = default_image;
	for (i = 0; annotations && annotations->type == SN_VAL_MAP && i < annotations->map.n; i++) {
		const struct sn_member *m = &annotations->map.members[i];
		const char *value = sn_val_str(m->val, "");
		const struct row *r;

		if (!sn_slice_starts(m->key, SN_SLICE(PREFIX)))
			continue;
		r = row_of(m->key.p + strlen(PREFIX));
		if (!r)
			unknown(m->key.p + strlen(PREFIX), w);
		else if (r->ok(value))
			memcpy((char *)ret + r->offset, &value, sizeof(value));
		else
			sn_inject_warn(w, PREFIX "%s: \"%.100s\" is not %s; the default is used",
				       r->name, value, r->expected);
	}
	if (quantity(ret->memory_request) > quantity(ret->memory_limit)) {
		sn_inject_warn(w,
			       PREFIX
			       "proxy-memory-limit %s is less than the request; it is raised to %s",
			       ret->memory_limit, ret->memory_request);
		ret->memory_limit = ret->memory_request;
	}
}

bool sn_inject_bad_annotations(const struct sn_val *annotations, char *dst, size_t cap)
{
	struct sn_inject_settings unused;
	struct sn_inject_warnings w = {0};
	struct sn_arena arena;
	size_t i, at = 0;

	if (!annotations || annotations->type != SN_VAL_MAP)
		return false;
	for (i = 0; i < annotations->map.n; i++)
		if (sn_slice_starts(annotations->map.members[i].key, SN_SLICE(PREFIX)))
			break;
	if (i == annotations->map.n)
		return false; /* as of nearly all pods */
	sn_arena_init(&arena, 4096, 1u << 20);
	w.arena = &arena;
	sn_inject_settings_read(annotations, "", &unused, &w);
	for (i = 0; i < w.n && at < cap; i++)
		at += (size_t)snprintf(dst + at, cap - at, "%s%s", i ? "; " : "",
				       w.text[i] + strlen("sennit: "));
	sn_arena_done(&arena);
	return w.n > 0;
}
