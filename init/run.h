/* SPDX-License-Identifier: Apache-2.0 */
/* init/run.h - feeds a text to a program's standard input and waits for its end. */
#ifndef SN_INIT_RUN_H
#define SN_INIT_RUN_H

#include "base/buf.h"
#include "base/err.h"

/* Runs argv[0] (searched in PATH, no shell). @output: what it printed on both streams, at most 4
 * KiB. Returns its exit code, or negative with @err when it could not be run or ended by a signal.
 */
int sn_run(char *const argv[], struct sn_slice input, struct sn_buf *output, struct sn_err *err);

#endif
