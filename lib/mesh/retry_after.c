/* SPDX-License-Identifier: Apache-2.0 */
/* Retry-After and the dates of HTTP: three forms, of which the two old ones are still to be read
 * (RFC 9110 5.6.7). strptime would read the names of the locale, and white space that may not be
 * there.
 */
#include "mesh/retry.h"

#include "base/err.h"

#define DAY_S 86400

struct date {
	unsigned year, month, day; /* month and day from 1 */
	unsigned hour, minute, second;
};

/* What is left to read; p == NULL: it did not fit. */
static bool take(struct sn_slice *s, const char *text)
{
	struct sn_slice t = sn_slice_cstr(text);

	if (!s->p || !sn_slice_starts(*s, t)) {
		s->p = NULL;
		return false;
	}
	*s = sn_slice(s->p + t.n, s->n - t.n);
	return true;
}

static unsigned take_digits(struct sn_slice *s, size_t n)
{
	uint64_t v = 0;

	if (!s->p || s->n < n || sn_num_u64(sn_slice(s->p, n), 9999, &v))
		s->p = NULL;
	else
		*s = sn_slice(s->p + n, s->n - n);
	return (unsigned)v;
}

/* Takes one of @names; of two that fit, the first. Returns its number from 1. */
static unsigned take_name(struct sn_slice *s, const char *const *names, unsigned n)
{
	unsigned i;

	for (i = 0; s->p && i < n; i++)
		if (sn_slice_starts(*s, sn_slice_cstr(names[i]))) {
			take(s, names[i]);
			return i + 1;
		}
	s->p = NULL;
	return 0;
}

static unsigned take_month(struct sn_slice *s)
{
	static const char *const names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

	return take_name(s, names, SN_ARRAY_LEN(names));
}

static void take_time(struct sn_slice *s, struct date *d)
{
	d->hour = take_digits(s, 2);
	take(s, ":");
	d->minute = take_digits(s, 2);
	take(s, ":");
	d->second = take_digits(s, 2);
}

/* "06 Nov 1994 08:49:37 GMT" */
static void take_fixdate(struct sn_slice *s, struct date *d)
{
	d->day = take_digits(s, 2);
	take(s, " ");
	d->month = take_month(s);
	take(s, " ");
	d->year = take_digits(s, 4);
	take(s, " ");
	take_time(s, d);
	take(s, " GMT");
}

/* "06-Nov-94 08:49:37 GMT" */
static void take_rfc850(struct sn_slice *s, struct date *d, uint64_t now_unix_s)
{
	unsigned last = 1970 + (unsigned)(now_unix_s % 200000000000u / 31556952) + 50;

	d->day = take_digits(s, 2);
	take(s, "-");
	d->month = take_month(s);
	take(s, "-");
	d->year = take_digits(s, 2);
	d->year += (last - d->year) / 100 * 100;
	take(s, " ");
	take_time(s, d);
	take(s, " GMT");
}

/* "Nov  6 08:49:37 1994" */
static void take_asctime(struct sn_slice *s, struct date *d)
{
	d->month = take_month(s);
	take(s, " ");
	if (s->p && s->n && s->p[0] == ' ') {
		take(s, " ");
		d->day = take_digits(s, 1);
	} else {
		d->day = take_digits(s, 2);
	}
	take(s, " ");
	take_time(s, d);
	take(s, " ");
	d->year = take_digits(s, 4);
}

static bool is_leap(unsigned year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool is_valid(const struct date *d)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return d->day >= 1 &&
	       d->day <= days[d->month - 1] + (unsigned)(d->month == 2 && is_leap(d->year)) &&
	       d->hour < 24 && d->minute < 60 && d->second <= 60; /* 60: a leap second */
}

/* Days since 1970-01-01 of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms", days_from_civil); years from 1. */
static int64_t days_of(const struct date *d)
{
	int64_t y = (int64_t)d->year - (d->month <= 2);
	int64_t era = y / 400, yoe = y % 400;
	int64_t doy = (153 * ((int64_t)d->month + (d->month > 2 ? -3 : 9)) + 2) / 5 + d->day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

int sn_http_date_parse(struct sn_slice s, uint64_t now_unix_s, uint64_t *ret_unix_s)
{
	static const char *const days[] = {/* longer ones first */
					   "Sunday", "Monday",	 "Tuesday", "Wednesday", "Thursday",
					   "Friday", "Saturday", "Sun",	    "Mon",	 "Tue",
					   "Wed",    "Thu",	 "Fri",	    "Sat"};
	struct date d = {0};
	unsigned day = take_name(&s, days, SN_ARRAY_LEN(days));
	int64_t t;

	if (!s.p)
		return -SN_ESYNTAX;
	if (day <= 7) {
		take(&s, ", ");
		take_rfc850(&s, &d, now_unix_s);
	} else if (s.n && s.p[0] == ',') {
		take(&s, ", ");
		take_fixdate(&s, &d);
	} else {
		take(&s, " ");
		take_asctime(&s, &d);
	}
	if (!s.p || s.n || !is_valid(&d))
		return -SN_ESYNTAX;
	t = days_of(&d) * DAY_S + (int64_t)d.hour * 3600 + (int64_t)d.minute * 60 +
	    (int64_t)d.second;
	*ret_unix_s = t > 0 ? (uint64_t)t : 0;
	return 0;
}

uint64_t sn_retry_after_ms(struct sn_slice value, uint64_t now_unix_s)
{
	uint64_t s, at;
	int rc = sn_num_u64(value, SN_RETRY_AFTER_MAX_MS / 1000, &s);

	if (rc == -SN_ETOOBIG)
		return SN_RETRY_AFTER_MAX_MS;
	if (rc) {
		if (sn_http_date_parse(value, now_unix_s, &at))
			return SN_RETRY_AFTER_NONE;
		s = at > now_unix_s ? at - now_unix_s : 0;
	}
	return s < SN_RETRY_AFTER_MAX_MS / 1000 ? s * 1000 : SN_RETRY_AFTER_MAX_MS;
}
