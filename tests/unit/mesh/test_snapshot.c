/* SPDX-License-Identifier: Apache-2.0 */
/* Finding services by host, address and name; ports; references. */
#include "tests/unit/unit.h"

#include "mesh/snapshot.h"

static const char *const web_hosts[] = {"web", "web.demo", "WEB.demo.svc.cluster.local"};

static struct sn_addr address(const char *text, uint16_t port)
{
	struct sn_addr a;

	assert_int_equal(sn_addr_parse_ip(sn_slice_cstr(text), port, &a), 0);
	return a;
}

static struct sn_snapshot *two_services(struct sn_addr addresses[2],
					struct sn_service_port ports[2])
{
	struct sn_snapshot *s = sn_snapshot_new();

	assert_non_null(s);
	s->services = sn_arena_array(&s->arena, 2, sizeof(*s->services));
	s->n_services = 2;
	addresses[0] = address("10.96.0.12", 0);
	addresses[1] = address("fd00::12", 0);
	ports[0] = (struct sn_service_port){.port = 80, .protocol = SN_PORT_HTTP};
	ports[1] = (struct sn_service_port){.port = 8080};
	s->services[0] = (struct sn_service){.name = "web.demo",
					     .hosts = (const char **)(uintptr_t)web_hosts,
					     .n_hosts = 3,
					     .addresses = addresses,
					     .n_addresses = 2,
					     .ports = ports,
					     .n_ports = 2};
	s->services[1] = (struct sn_service){.name = "other.demo", .id = 1};
	return s;
}

static void test_lookups(void **state)
{
	struct sn_service_port ports[2];
	struct sn_addr a[2], dst;
	struct sn_snapshot *s = two_services(a, ports);
	const struct sn_service *web = &s->services[0], *loser = NULL;

	(void)state;
	assert_int_equal(sn_snapshot_index(s, &loser), 0);
	assert_null(loser);
	assert_ptr_equal(sn_snapshot_by_host(s, SN_SLICE("WEB")), web);
	assert_ptr_equal(sn_snapshot_by_host(s, SN_SLICE("web.demo.")), web);
	assert_ptr_equal(sn_snapshot_by_host(s, SN_SLICE("web.demo.svc.cluster.local")), web);
	assert_null(sn_snapshot_by_host(s, SN_SLICE("web.demo..")));
	assert_null(sn_snapshot_by_host(s, SN_SLICE("")));
	assert_null(sn_snapshot_by_host(s, SN_SLICE("we")));
	dst = address("10.96.0.12", 80);
	assert_ptr_equal(sn_snapshot_by_addr(s, &dst), web);
	dst = address("fd00::12", 8080);
	assert_ptr_equal(sn_snapshot_by_addr(s, &dst), web);
	dst = address("10.96.0.12", 81); /* not a port of it */
	assert_null(sn_snapshot_by_addr(s, &dst));
	dst = address("10.96.0.13", 80);
	assert_null(sn_snapshot_by_addr(s, &dst));
	assert_ptr_equal(sn_snapshot_by_name(s, SN_SLICE("other.demo")), &s->services[1]);
	assert_null(sn_snapshot_by_name(s, SN_SLICE("other")));
	sn_snapshot_unref(s);
}

static void test_ports(void **state)
{
	struct sn_service_port ports[2];
	struct sn_addr a[2];
	struct sn_snapshot *s = two_services(a, ports);
	struct sn_service *web = &s->services[0];

	(void)state;
	assert_int_equal(sn_service_pick_port(web, 8080)->port, 8080);
	assert_int_equal(sn_service_pick_port(web, 0)->port, 80);
	assert_int_equal(sn_service_pick_port(web, 9999)->port, 80);
	ports[0].port = 7070;
	assert_int_equal(sn_service_pick_port(web, 0)->port, 7070); /* the first */
	web->n_ports = 1;
	assert_int_equal(sn_service_pick_port(web, 5)->port, 7070); /* the only one */
	assert_null(sn_service_pick_port(&s->services[1], 5));
	assert_null(sn_service_find_port(web, 80));
	sn_snapshot_unref(s);
}

static void test_the_port_of_a_backend(void **state)
{
	struct sn_backend_ref named = {.port = 5}, open = {0};
	struct sn_service_port ports[2];
	struct sn_addr a[2];
	struct sn_snapshot *s = two_services(a, ports);
	const struct sn_service *web = &s->services[0], *other = &s->services[1];

	(void)state;
	assert_int_equal(sn_backend_port(&named, web, other, 80), 5);
	assert_int_equal(sn_backend_port(&open, web, other, 8080), 8080);
	assert_int_equal(sn_backend_port(&open, web, other, 9999), 80);	  /* it has no such port */
	assert_int_equal(sn_backend_port(&open, web, web, 9999), 9999);	  /* where one was going */
	assert_int_equal(sn_backend_port(&open, other, web, 9999), 9999); /* lists none */
	sn_snapshot_unref(s);
}

static void test_the_first_keeps_what_two_claim(void **state)
{
	struct sn_service_port ports[2];
	struct sn_addr a[2];
	struct sn_snapshot *s = two_services(a, ports);
	const struct sn_service *loser = NULL;

	(void)state;
	s->services[1].hosts = s->services[0].hosts;
	s->services[1].n_hosts = 1;
	assert_int_equal(sn_snapshot_index(s, &loser), 0);
	assert_ptr_equal(loser, &s->services[1]);
	assert_ptr_equal(sn_snapshot_by_host(s, SN_SLICE("web")), &s->services[0]);
	sn_snapshot_unref(s);
	s = two_services(a, ports);
	s->services[1].name = "web.demo";
	assert_int_equal(sn_snapshot_index(s, &loser), -SN_EEXIST);
	sn_snapshot_unref(s);
}

static void test_references(void **state)
{
	struct sn_service_port ports[2];
	struct sn_addr a[2];
	struct sn_snapshot *s = two_services(a, ports);

	(void)state;
	assert_ptr_equal(sn_snapshot_ref(s), s);
	sn_snapshot_unref(s);
	assert_string_equal(s->services[0].name, "web.demo"); /* still there */
	sn_snapshot_unref(s);
	sn_snapshot_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_the_port_of_a_backend),
		cmocka_unit_test(test_the_first_keeps_what_two_claim),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
