/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test begins with: cmocka and what it needs before it. */
#ifndef SN_TESTS_UNIT_H
#define SN_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"

#define assert_slice(s, text)                                                                      \
	do {                                                                                       \
		struct sn_slice got_ = (s);                                                        \
		assert_int_equal(got_.n, strlen(text));                                            \
		assert_memory_equal(got_.p, text, got_.n);                                         \
	} while (0)

#endif
