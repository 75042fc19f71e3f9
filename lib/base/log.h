/* SPDX-License-Identifier: Apache-2.0 */
/* base/log.h - structured log lines: one JSON object a line, or human text on a terminal.
 * Bytes that come from peers are escaped, a line is at most 4 KiB. One write(2) per line.
 * Thread-safe. Libraries log at debug only; programs log, once. */
#ifndef SN_BASE_LOG_H
#define SN_BASE_LOG_H

#include <stdbool.h>

enum sn_log_level { SN_LOG_ERROR, SN_LOG_WARN, SN_LOG_INFO, SN_LOG_DEBUG };
enum sn_log_format { SN_LOG_AUTO, SN_LOG_JSON, SN_LOG_TEXT }; /* auto: text if fd is a terminal */

/* Before it is called: level info, text, stderr. */
void sn_log_init(int fd, enum sn_log_format format, enum sn_log_level level);
void sn_log_set_level(enum sn_log_level level);
bool sn_log_enabled(enum sn_log_level level);
/* "error" "warn" "info" "debug" -> level; -SN_ESYNTAX otherwise. */
int sn_log_parse_level(const char *name, enum sn_log_level *ret);

/* @component: short constant such as "config". */
void sn_log(enum sn_log_level level, const char *component, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define sn_error(comp, ...) sn_log(SN_LOG_ERROR, comp, __VA_ARGS__)
#define sn_warn(comp, ...) sn_log(SN_LOG_WARN, comp, __VA_ARGS__)
#define sn_info(comp, ...) sn_log(SN_LOG_INFO, comp, __VA_ARGS__)
#define sn_debug(comp, ...)                                                                        \
	do {                                                                                       \
		if (sn_log_enabled(SN_LOG_DEBUG))                                                  \
			sn_log(SN_LOG_DEBUG, comp, __VA_ARGS__);                                   \
	} while (0)

#endif
