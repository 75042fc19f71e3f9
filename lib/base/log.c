/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: built in one buffer on the stack and written at once, so that lines of several threads
 * do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#define LINE_MAX_BYTES 4096
#define MESSAGE_MAX 2048

static int out_fd = STDERR_FILENO;
static bool out_json;
static bool out_colour;
static atomic_int out_level = SN_LOG_INFO;

static const char *const names[] = {"error", "warn", "info", "debug"};

void sn_log_init(int fd, enum sn_log_format format, enum sn_log_level level)
{
	bool tty = isatty(fd);

	out_fd = fd;
	out_json = format == SN_LOG_JSON || (format == SN_LOG_AUTO && !tty);
	out_colour = tty && !getenv("NO_COLOR");
	atomic_store(&out_level, (int)level);
}

void sn_log_set_level(enum sn_log_level level)
{
	atomic_store(&out_level, (int)level);
}

bool sn_log_enabled(enum sn_log_level level)
{
	return (int)level <= atomic_load_explicit(&out_level, memory_order_relaxed);
}

int sn_log_parse_level(const char *name, enum sn_log_level *ret)
{
	size_t i;

	for (i = 0; i < SN_ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0) {
			*ret = (enum sn_log_level)i;
			return 0;
		}
	return -SN_ESYNTAX;
}

/* Appends @msg with what could forge a line or break JSON escaped; stops before @cap. */
static size_t escape(char *dst, size_t cap, const char *msg)
{
	size_t n = 0;
	bool utf8 = sn_utf8_valid(sn_slice_cstr(msg));

	for (; *msg; msg++) {
		unsigned char c = (unsigned char)*msg;

		if (n + 8 >= cap && !(utf8 && (c & 0xc0) == 0x80)) /* a begun character ends */
			break;
		if (out_json && (c == '"' || c == '\\')) {
			dst[n++] = '\\';
			dst[n++] = (char)c;
		} else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8)) {
			n += (size_t)snprintf(dst + n, cap - n, out_json ? "\\u%04x" : "\\x%02x",
					      c);
		} else {
			dst[n++] = (char)c;
		}
	}
	return n;
}

void sn_log(enum sn_log_level level, const char *component, const char *fmt, ...)
{
	static const char *const colours[] = {"\033[31m", "\033[33m", "", "\033[2m"};
	char msg[MESSAGE_MAX], line[LINE_MAX_BYTES], ts[32];
	va_list ap;
	size_t n;

	if (!sn_log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	sn_clock_rfc3339(sn_clock_wall_ms(), 1, ts, sizeof(ts));
	if (out_json)
		n = (size_t)snprintf(
			line, 256,
			"{\"ts\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"msg\":\"", ts,
			names[level], component);
	else
		n = (size_t)snprintf(line, 256, "%s%s %-5s %s: ", out_colour ? colours[level] : "",
				     ts, names[level], component);
	n += escape(line + n, sizeof(line) - n - 16, msg);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%s\n",
			      out_json	   ? "\"}"
			      : out_colour ? "\033[0m"
					   : "");
	/* A log that cannot be written has nobody to tell. */
	if (write(out_fd, line, n) < 0)
		return;
}
