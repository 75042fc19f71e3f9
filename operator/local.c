/* SPDX-License-Identifier: Apache-2.0 */
/* The control plane on one machine: resources are files, and so are the documents. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "net/loop.h"
#include "operator/index/index.h"
#include "operator/options.h"
#include "operator/reconcile/files.h"
#include "operator/signals.h"
#include "operator/source/dir.h"
#include "operator/translate/translate.h"

struct local {
	const struct sn_operator_options *o;
	struct sn_index *idx;
};

/* Without an API server there is no status to write: what is not accepted is logged. */
static void report(const struct sn_index *idx, enum sn_kind kind)
{
	struct sn_condition c[SN_CONDITIONS_MAX];
	size_t i, p, k, n;

	for (i = 0; i < sn_index_count(idx, kind); i++) {
		const struct sn_object *o = sn_index_at(idx, kind, i);

		for (p = 0; p < sn_translate_parents(o); p++) {
			n = sn_translate_conditions(idx, o, p, c);
			for (k = 0; k < n; k++)
				if (!c[k].status)
					sn_warn("status", "%s %s/%s: %s=False, %s: %s",
						sn_kind_name(kind), o->ns, o->name, c[k].type,
						c[k].reason, c[k].message);
		}
	}
}

/* What nothing can refuse before it is here. */
static void report_others(const struct sn_index *idx)
{
	char why[256];
	size_t i;

	for (i = 0; i < sn_index_count(idx, SN_KIND_SERVICE); i++) {
		const struct sn_object *o = sn_index_at(idx, SN_KIND_SERVICE, i);

		if (sn_translate_service_problem(idx, o, why, sizeof(why)))
			sn_warn("status", "Service %s/%s: %s; it is not used", o->ns, o->name, why);
	}
	for (i = 0; i < sn_index_count(idx, SN_KIND_MESHCONFIG); i++)
		if (strcmp(sn_index_at(idx, SN_KIND_MESHCONFIG, i)->name, "default") != 0)
			sn_warn("status",
				"MeshConfig %s is not used: there is one, named \"default\"",
				sn_index_at(idx, SN_KIND_MESHCONFIG, i)->name);
}

static void on_changed(void *arg)
{
	struct local *l = arg;
	struct sn_err err = {0};

	if (sn_reconcile_files(l->idx, l->o->routes_out, &err))
		sn_debug("reconcile", "%s", err.msg); /* logged where it happened */
	report(l->idx, SN_KIND_MESHROUTE);
	report(l->idx, SN_KIND_BACKENDPOLICY);
	report_others(l->idx);
}

int sn_run_local(const struct sn_operator_options *o)
{
	const char *path = o->source + strlen("dir:");
	struct local l = {.o = o, .idx = sn_index_new()};
	struct sn_signals signals = {.io.fd = -1};
	struct sn_dir_source *src = NULL;
	struct sn_err err = {0};
	struct sn_loop *loop;
	int rc = 2;

	if (l.idx)
		sn_index_set_local(l.idx);
	loop = sn_loop_new(NULL, &err);
	if (loop && sn_signals_stop_loop(&signals, loop))
		sn_err_sys(&err, errno, "signals");
	else if (loop && l.idx)
		src = sn_dir_source_new(loop, path, l.idx, on_changed, &l, &err);
	if (src) {
		sn_info("operator", "reading %s, writing %s", path, o->routes_out);
		on_changed(&l);
		sn_loop_run(loop);
		rc = 0;
	} else {
		sn_error("operator", "%s", err.msg);
	}
	sn_dir_source_free(src);
	sn_signals_done(&signals);
	sn_index_free(l.idx);
	sn_loop_free(loop);
	return rc;
}
