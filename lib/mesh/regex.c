/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that knows PCRE2. It backtracks, so a pattern can take exponential time: a limit on
 * the steps ends that. What a step costs is not limited there, and constructs that are no regular
 * language (lookaround, references) hide whole scans in one step, so those are refused, and the
 * text's length bounds the rest. */
#include "mesh/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

/* Bounds of one match. A step may look at all of the text, so that long texts get fewer. */
#define STEPS_MAX 10000
#define STEPS_MIN 300
#define OCTETS_MAX 1200000 /* steps times length */
#define HEAP_KIB_MAX 512
#define JIT_STACK_BYTES 32768
#define JIT_STACK_BYTES_MAX 262144
#define NEST_MAX 32

struct sn_regex {
	pcre2_code *code;
};

struct sn_regex_scratch {
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};

/* --- the dialect --------------------------------------------------------------------------------
 */

static int refuse(struct sn_err *err, size_t offset, const char *what)
{
	return sn_err_set(err, SN_ECONF, "at offset %zu: %s", offset, what);
}

/* The end of a class that begins at @i: behind its "]", or the pattern's end. */
static size_t skip_class(struct sn_slice s, size_t i)
{
	i++;
	if (i < s.n && s.p[i] == '^')
		i++;
	if (i < s.n && s.p[i] == ']')
		i++;
	while (i < s.n && s.p[i] != ']') {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '[' && i + 1 < s.n && s.p[i + 1] == ':') {
			const char *end = memmem(s.p + i, s.n - i, ":]", 2);

			if (end)
				i = (size_t)(end - s.p) + 1;
		}
		i++;
	}
	return i + 1;
}

/* "(?i:", "(?:", "(?s)", "(?<name>", "(?P<name>" are groups; all else behind "(?" is not. */
static bool is_group(struct sn_slice s)
{
	size_t i = 0;

	if (s.n && s.p[0] == 'P')
		i++;
	if (i < s.n && s.p[i] == '<')
		return i + 1 < s.n && s.p[i + 1] != '=' && s.p[i + 1] != '!';
	for (i = 0; i < s.n && s.p[i] && strchr("ims-", s.p[i]);)
		i++;
	return i < s.n && (s.p[i] == ':' || s.p[i] == ')');
}

static int check_escape(struct sn_slice s, size_t *i, struct sn_err *err)
{
	char c = *i + 1 < s.n ? s.p[*i + 1] : '\0';
	const char *end;

	if (c && strchr("123456789gk", c))
		return refuse(err, *i, "backreferences are not supported");
	if (c && strchr("CGKRXN", c))
		return refuse(err, *i, "this escape is not supported");
	*i += 2;
	if (c == 'Q') {
		end = *i < s.n ? memmem(s.p + *i, s.n - *i, "\\E", 2) : NULL;
		*i = end ? (size_t)(end - s.p) + 2 : s.n;
	}
	return 0;
}

static int check_dialect(struct sn_slice s, struct sn_err *err)
{
	size_t i = 0;
	int rc;

	if (s.n > SN_REGEX_PATTERN_MAX)
		return sn_err_set(err, SN_ECONF, "longer than %d bytes", SN_REGEX_PATTERN_MAX);
	while (i < s.n) {
		if (s.p[i] == '\\') {
			rc = check_escape(s, &i, err);
			if (rc)
				return rc;
		} else if (s.p[i] == '[') {
			i = skip_class(s, i);
		} else if (s.p[i] == '(' && i + 1 < s.n && s.p[i + 1] == '*') {
			return refuse(err, i, "verbs \"(*\" are not supported");
		} else if (s.p[i] == '(' && i + 1 < s.n && s.p[i + 1] == '?' &&
			   !is_group(sn_slice(s.p + i + 2, s.n - i - 2))) {
			return refuse(
				err, i,
				"of what begins with \"(?\" only groups and the flags i, m, s "
				"are supported");
		} else {
			i++;
		}
	}
	return 0;
}

/* --- compiling ----------------------------------------------------------------------------------
 */

static int compile(struct sn_slice pattern, pcre2_code **ret, struct sn_err *err)
{
	const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_UTF |
				 PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;
	pcre2_compile_context *context;
	PCRE2_UCHAR text[200];
	PCRE2_SIZE offset = 0;
	int rc = check_dialect(pattern, err), why = 0;

	if (rc)
		return rc;
	context = pcre2_compile_context_create(NULL);
	if (!context)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	(void)pcre2_set_parens_nest_limit(context, NEST_MAX);
	*ret = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &why, &offset, context);
	pcre2_compile_context_free(context);
	if (*ret)
		return 0;
	if (why == PCRE2_ERROR_NOMEMORY || why == PCRE2_ERROR_HEAP_FAILED)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	if (pcre2_get_error_message(why, text, sizeof(text)) < 0)
		text[0] = 0;
	return refuse(err, offset, (const char *)text);
}

int sn_regex_check(struct sn_slice pattern, struct sn_err *err)
{
	pcre2_code *code = NULL;
	int rc = compile(pattern, &code, err);

	pcre2_code_free(code);
	return rc;
}

int sn_regex_new(struct sn_slice pattern, struct sn_regex **ret, struct sn_err *err)
{
	struct sn_regex *re = calloc(1, sizeof(*re));
	int rc;

	if (!re)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	rc = compile(pattern, &re->code, err);
	if (rc) {
		free(re);
		return rc;
	}
	/* Where no memory may be made executable the interpreter does it. */
	(void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
	*ret = re;
	return 0;
}

void sn_regex_free(struct sn_regex *re)
{
	if (re)
		pcre2_code_free(re->code);
	free(re);
}

/* --- matching -----------------------------------------------------------------------------------
 */

/* The interpreter takes its first frames from the heap and keeps them: let it do so now. */
static void warm_up(struct sn_regex_scratch *s)
{
	int why;
	PCRE2_SIZE offset;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR) "(a|b)*", 6, 0, &why, &offset, NULL);

	if (code)
		(void)pcre2_match(code, (PCRE2_SPTR) "ab", 2, 0, 0, s->data, s->context);
	pcre2_code_free(code);
}

struct sn_regex_scratch *sn_regex_scratch_new(void)
{
	struct sn_regex_scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->data = pcre2_match_data_create(1, NULL);
	s->context = pcre2_match_context_create(NULL);
	s->stack = pcre2_jit_stack_create(JIT_STACK_BYTES, JIT_STACK_BYTES_MAX, NULL);
	if (!s->data || !s->context) {
		sn_regex_scratch_free(s);
		return NULL;
	}
	(void)pcre2_set_depth_limit(s->context, STEPS_MAX);
	(void)pcre2_set_heap_limit(s->context, HEAP_KIB_MAX);
	if (s->stack) /* NULL: a build without JIT */
		pcre2_jit_stack_assign(s->context, NULL, s->stack);
	warm_up(s);
	return s;
}

void sn_regex_scratch_free(struct sn_regex_scratch *s)
{
	if (!s)
		return;
	pcre2_match_data_free(s->data);
	pcre2_match_context_free(s->context);
	pcre2_jit_stack_free(s->stack);
	free(s);
}

static uint32_t steps_for(size_t n)
{
	size_t steps = OCTETS_MAX / (n + 1);

	return (uint32_t)(steps > STEPS_MAX ? STEPS_MAX : steps < STEPS_MIN ? STEPS_MIN : steps);
}

int sn_regex_match(const struct sn_regex *re, struct sn_slice subject, struct sn_regex_scratch *s)
{
	int rc;

	if (subject.n > SN_REGEX_SUBJECT_MAX)
		return -SN_ELIMIT;
	(void)pcre2_set_match_limit(s->context, steps_for(subject.n));
	rc = pcre2_match(re->code, (PCRE2_SPTR)(subject.p ? subject.p : ""), subject.n, 0, 0,
			 s->data, s->context);
	if (rc >= 0)
		return 1;
	return rc == PCRE2_ERROR_NOMATCH ? 0 : -SN_ELIMIT;
}
