/* SPDX-License-Identifier: Apache-2.0 */
/* Errors with context: formatting into the caller's fixed space, so that reporting cannot fail. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

const char *sn_code_name(int code)
{
	switch (code < 0 ? -code : code) {
	case SN_OK:
		return "ok";
	case SN_EAGAIN:
		return "again";
	case SN_EMORE:
		return "more";
	case SN_EPROTO:
		return "protocol";
	case SN_ETOOBIG:
		return "too-big";
	case SN_EUNSUPP:
		return "unsupported";
	case SN_ESYNTAX:
		return "syntax";
	case SN_EDEPTH:
		return "too-deep";
	case SN_EVERSION:
		return "version";
	case SN_ERESET:
		return "reset";
	case SN_ECANCELED:
		return "canceled";
	case SN_EOF:
		return "eof";
	case SN_ECONN:
		return "connection";
	case SN_ETIMEOUT:
		return "timeout";
	case SN_ENOMEM:
		return "out-of-memory";
	case SN_ELIMIT:
		return "limit";
	case SN_ESYS:
		return "system";
	case SN_ESTATE:
		return "state";
	case SN_ENOENT:
		return "not-found";
	case SN_EEXIST:
		return "exists";
	case SN_ECONF:
		return "configuration";
	case SN_EUSAGE:
		return "usage";
	case SN_ERETRY:
		return "retry";
	case SN_ECONFLICT:
		return "conflict";
	case SN_EGONE:
		return "gone";
	case SN_EPERMANENT:
		return "permanent";
	default:
		return "unknown";
	}
}

int sn_err_set(struct sn_err *err, enum sn_code code, const char *fmt, ...)
{
	if (err) {
		va_list ap;

		err->code = code;
		err->os_errno = 0;
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
	}
	return -(int)code;
}

int sn_err_sys(struct sn_err *err, int os_errno, const char *fmt, ...)
{
	if (err) {
		char text[128];
		size_t n;
		va_list ap;

		err->code = SN_ESYS;
		err->os_errno = os_errno;
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
		n = strlen(err->msg);
		snprintf(err->msg + n, sizeof(err->msg) - n, ": %s",
			 strerror_r(os_errno, text, sizeof(text)));
	}
	return -SN_ESYS;
}

int sn_err_wrap(struct sn_err *err, const char *fmt, ...)
{
	char old[SN_ERR_MSG_MAX];
	size_t n;
	va_list ap;

	if (!err)
		return -SN_ESTATE;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	n = strlen(err->msg);
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", old);
	return -(int)err->code;
}
