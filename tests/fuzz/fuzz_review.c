/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the injector: whatever is posted, an answer of ours comes back; an accepted one is a
 * review with a uid whose patch parses; the same input gives the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "operator/inject/inject.h"

#define CHECK(c)                                                                                   \
	do {                                                                                       \
		if (!(c))                                                                          \
			abort();                                                                   \
	} while (0)

static bool is_locked(void *arg, const char *ns)
{
	(void)arg;
	return ns[0] == 'l';
}

static void check_answer(struct sn_slice text, enum sn_inject_result result)
{
	const struct sn_val *response;
	struct sn_arena a;
	struct sn_val *v = NULL, *patch = NULL;
	struct sn_buf plain;

	sn_arena_init(&a, 0, 0);
	sn_buf_init(&plain, 0);
	CHECK(sn_json_parse(&a, text.p, text.n, SN_JSON_REFUSE_DUPLICATES, &v, NULL) == 0);
	response = sn_val_get(v, "response");
	CHECK(sn_val_str(sn_val_get(response, "uid"), "")[0]);
	CHECK(sn_val_bool(sn_val_get(response, "allowed"), false) ==
	      (result != SN_INJECT_NAME_TAKEN));
	CHECK((sn_val_get(response, "patch") != NULL) == (result == SN_INJECTED));
	if (result == SN_INJECTED) {
		CHECK(sn_base64_decode(sn_val_slice(sn_val_get(response, "patch")), &plain) == 0);
		CHECK(sn_json_parse(&a, sn_buf_slice(&plain).p, sn_buf_len(&plain),
				    SN_JSON_REFUSE_DUPLICATES, &patch, NULL) == 0);
		CHECK(sn_val_len(patch) >= 3);
	}
	sn_buf_done(&plain);
	sn_arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct sn_inject_env env = {"proxy:1", "init:1", is_locked, NULL};
	enum sn_inject_result first = SN_INJECT_RESULTS, second = SN_INJECT_RESULTS;
	struct sn_slice in = sn_slice((const char *)data, n);
	struct sn_buf a, b;
	unsigned status;

	sn_buf_init(&a, 0);
	sn_buf_init(&b, 0);
	status = sn_inject_review(&env, in, &a, &first);
	CHECK(status == 200 || status == 400 || status == 413);
	CHECK(first < SN_INJECT_RESULTS && (status == 200) == (first != SN_INJECT_BAD_REVIEW));
	CHECK(sn_buf_len(&a) > 0);
	if (status == 200)
		check_answer(sn_buf_slice(&a), first);
	CHECK(sn_inject_review(&env, in, &b, &second) == status && first == second);
	CHECK(sn_slice_eq(sn_buf_slice(&a), sn_buf_slice(&b)));
	sn_buf_done(&a);
	sn_buf_done(&b);
	return 0;
}
