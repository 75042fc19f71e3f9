/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of endpoints, and the lines of a file. */
#include "../unit.h"

#include "mesh/endpoints.h"

static struct sn_endpoint_spec at(const char *text, uint32_t weight, uint16_t service_port)
{
	struct sn_endpoint_spec e = {.weight = weight, .service_port = service_port};

	assert_int_equal(sn_addr_parse(sn_slice_cstr(text), &e.addr), 0);
	return e;
}

static struct sn_endpoint_set *parse(const char *text)
{
	struct sn_endpoint_set *s = NULL;
	struct sn_err err = {0};
	int rc = sn_endpoint_set_parse(sn_slice_cstr(text), &s, &err);

	if (rc)
		fprintf(stderr, "%s\n", err.msg);
	assert_int_equal(rc, 0);
	return s;
}

static void assert_item(const struct sn_endpoint_set *s, size_t i, const char *addr,
			uint32_t weight, uint16_t service_port)
{
	char text[SN_ADDR_TEXT];

	assert_true(i < s->n);
	assert_string_equal(sn_addr_format(&s->items[i].addr, text), addr);
	assert_int_equal(s->items[i].weight, weight);
	assert_int_equal(s->items[i].service_port, service_port);
}

static void order_and_repetition_do_not_matter(void **state)
{
	struct sn_endpoint_spec one[] = {at("10.0.0.2:80", 1, 0), at("[::1]:80", 3, 0),
					 at("10.0.0.1:80", 1, 0), at("10.0.0.2:80", 7, 0)};
	struct sn_endpoint_spec two[] = {at("10.0.0.1:80", 1, 0), at("10.0.0.2:80", 1, 0),
					 at("[::1]:80", 3, 0)};
	struct sn_endpoint_set *a = sn_endpoint_set_new(one, 4), *b = sn_endpoint_set_new(two, 3);

	(void)state;
	assert_int_equal(a->n, 3);
	assert_item(a, 1, "10.0.0.2:80", 1, 0); /* the first of the two */
	assert_true(sn_endpoint_set_eq(a, b));
	two[0].weight = 2;
	sn_endpoint_set_unref(b);
	b = sn_endpoint_set_new(two, 3);
	assert_false(sn_endpoint_set_eq(a, b));
	sn_endpoint_set_unref(b);
	b = sn_endpoint_set_new(two, 2);
	assert_false(sn_endpoint_set_eq(a, b));
	assert_false(sn_endpoint_set_eq(NULL, b));
	sn_endpoint_set_unref(b);
	sn_endpoint_set_unref(sn_endpoint_set_ref(a));
	sn_endpoint_set_unref(a);
	sn_endpoint_set_unref(NULL);
}

static void one_address_may_serve_two_ports(void **state)
{
	struct sn_endpoint_set *s = parse("10.0.0.1 8080 @ 80\n10.0.0.1 8080 @ 81\n");

	(void)state;
	assert_int_equal(s->n, 2);
	sn_endpoint_set_unref(s);
}

static void differences_are_counted(void **state)
{
	struct sn_endpoint_set *a = parse("10.0.0.1 1\n10.0.0.2 1\n10.0.0.3 1\n");
	struct sn_endpoint_set *b = parse("10.0.0.0 1\n10.0.0.2 1 * 9\n10.0.0.4 1\n10.0.0.5 1\n");
	struct sn_endpoint_set *none = parse("none\n");
	size_t added, removed;

	(void)state;
	sn_endpoint_set_diff(a, b, &added, &removed);
	assert_int_equal(added, 3);
	assert_int_equal(removed, 2);
	sn_endpoint_set_diff(NULL, a, &added, &removed);
	assert_int_equal(added, 3);
	assert_int_equal(removed, 0);
	sn_endpoint_set_diff(a, none, &added, &removed);
	assert_int_equal(added, 0);
	assert_int_equal(removed, 3);
	sn_endpoint_set_unref(a);
	sn_endpoint_set_unref(b);
	sn_endpoint_set_unref(none);
}

static void a_file_of_lines(void **state)
{
	struct sn_endpoint_set *s = parse("# all of them\n"
					  "\n"
					  "127.0.0.1 8080 # the first\r\n"
					  "  10.0.0.2\t81 * 3 @ 80\n"
					  "fd00::1 82 @ 443 * 2\n"
					  "[fd00::2] 65535\n");

	(void)state;
	assert_int_equal(s->n, 4);
	assert_item(s, 0, "10.0.0.2:81", 3, 80);
	assert_item(s, 1, "127.0.0.1:8080", 1, 0);
	assert_item(s, 2, "[fd00::1]:82", 2, 443);
	assert_item(s, 3, "[fd00::2]:65535", 1, 0);
	sn_endpoint_set_unref(s);
}

static void none_has_to_be_said(void **state)
{
	struct sn_endpoint_set *s = parse("# scaled down\n none # for now\n");

	(void)state;
	assert_int_equal(s->n, 0);
	sn_endpoint_set_unref(s);
}

static void what_is_refused_names_its_line(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "no endpoints"},
		{"\n\n# nothing\n", "no endpoints"},
		{"127.0.0.1 80", "half written"},
		{"127.0.0.1 80\n127.0.0.1 8", "half written"},
		{"127.0.0.1 80\n127.0.0.1\n", "line 2: expected \"ADDRESS PORT\""},
		{"127.0.0.1 0\n", "line 1: expected"},
		{"127.0.0.1 65536\n", "line 1: expected"},
		{"\n\nlocalhost 80\n", "line 3: \"localhost\" is not an IP"},
		{"127.0.0.1:80\n", "line 1: expected"},
		{"127.0.0.1 80 * 0\n", "all weights are 0"},
		{"127.0.0.1 80 zone=\n", "line 1: a zone's name"},
		{"127.0.0.1 80 *\n", "line 1: the weight"},
		{"127.0.0.1 80 @ 70000\n", "line 1: the port behind"},
		{"127.0.0.1 80 81\n", "line 1: \"81\": expected"},
		{"127.0.0.1 80 *3\n", "line 1: \"*3\": expected"},
		{"none\n127.0.0.1 80\n", "line 2: something besides \"none\""},
		{"127.0.0.1 80\nnone\n", "line 2: expected"},
		{"none none\n", "line 1: expected"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(cases); i++) {
		struct sn_endpoint_set *s = NULL;
		struct sn_err err = {0};

		assert_int_equal(sn_endpoint_set_parse(sn_slice_cstr(cases[i].text), &s, &err),
				 -SN_ECONF);
		assert_null(s);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("%s: \"%s\"", cases[i].text, err.msg);
	}
}

static void a_file_is_bounded(void **state)
{
	static char text[(SN_ENDPOINTS_MAX + 1) * 24];
	struct sn_endpoint_set *s = NULL;
	struct sn_err err = {0};
	size_t n = 0;
	int i;

	(void)state;
	for (i = 0; i < SN_ENDPOINTS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "10.0.%d.%d 80\n", i / 256,
				      i % 256);
	s = parse(text);
	assert_int_equal(s->n, SN_ENDPOINTS_MAX);
	sn_endpoint_set_unref(s);
	snprintf(text + n, sizeof(text) - n, "10.1.0.0 80\n");
	assert_int_equal(sn_endpoint_set_parse(sn_slice_cstr(text), &s, &err), -SN_ECONF);
	assert_non_null(strstr(err.msg, "more than 10000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_and_repetition_do_not_matter),
		cmocka_unit_test(one_address_may_serve_two_ports),
		cmocka_unit_test(differences_are_counted),
		cmocka_unit_test(a_file_of_lines),
		cmocka_unit_test(none_has_to_be_said),
		cmocka_unit_test(what_is_refused_names_its_line),
		cmocka_unit_test(a_file_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
