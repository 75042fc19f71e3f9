/* SPDX-License-Identifier: Apache-2.0 */
/* What is believed of sennit-* headers, and what a peer proxy is told. */
#include "tests/unit/unit.h"

#include "base/num.h"
#include "proxy/hop.h"

#define NONE UINT64_MAX

static struct sn_header v[16];

/* "name: value" lines into fields, as the codecs do it. */
static struct sn_headers fields(const char *lines)
{
	struct sn_headers hs = {.v = v, .cap = SN_ARRAY_LEN(v)};
	struct sn_slice rest = sn_slice_cstr(lines);

	while (rest.n) {
		struct sn_slice value = sn_slice_cut(&rest, '\n'), name = sn_slice_cut(&value, ':');

		v[hs.n++] = (struct sn_header){.name = name,
					       .value = sn_slice_trim(value),
					       .id = (uint8_t)sn_hdr_lookup(name)};
	}
	return hs;
}

static void test_what_is_believed(void **state)
{
	static const struct {
		const char *lines;
		uint64_t deadline_ms;
		bool no_retry, loop, was_h1, was_h1_from_peer;
	} rows[] = {
		{"accept: a\n", NONE, false, false, false, false},
		{"sennit-deadline: 1s500ms\n", 1500, false, false, false, false},
		{"Sennit-Deadline: 2s\nsennit-deadline: 1s\nSENNIT-DEADLINE: 3s\n", 1000, false,
		 false, false, false},
		{"sennit-deadline: 0s\n", 0, false, false, false, false},
		{"sennit-deadline: soon\n", NONE, false, false, false, false},
		{"sennit-deadline: -1s\n", NONE, false, false, false, false},
		{"sennit-deadline: 1\n", NONE, false, false, false, false},
		{"sennit-deadline:\n", NONE, false, false, false, false},
		{"sennit_deadline: 1s\n", NONE, false, false, false, false}, /* only dropped */
		{"sennit-retry: no\n", NONE, true, false, false, false},
		{"sennit-retry: NO\n", NONE, true, false, false, false},
		{"sennit-retry: yes\n", NONE, false, false, false, false},
		{"sennit-retry: no\nsennit-retry: yes\n", NONE, true, false, false, false},
		{"sennit-hop: other\n", NONE, false, false, false, false},
		{"sennit-hop: me\n", NONE, false, true, false, false},
		{"sennit-hop: other,me\n", NONE, false, true, false, false},
		{"sennit-hop: other, me , third\n", NONE, false, true, false, false},
		{"sennit-hop: other\nsennit-hop: me\n", NONE, false, true, false, false},
		{"sennit-hop: me\nsennit-hop: other\n", NONE, false, true, false, false},
		{"sennit-hop: meme, m, mee\n", NONE, false, false, false, false},
		{"sennit-hop: ,,\n", NONE, false, false, false, false},
		{"sennit-protocol: HTTP/1.1\n", NONE, false, false, false, true},
		{"sennit-protocol: HTTP/2\n", NONE, false, false, false, false},
		{"sennit-identity: root\n", NONE, false, false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++)
		for (int from_peer = 0; from_peer < 2; from_peer++) {
			struct sn_headers hs = fields(rows[i].lines);
			struct sn_hop hop;

			sn_hop_take(&hs, from_peer, SN_SLICE("me"), &hop);
			if (hop.deadline_ms != rows[i].deadline_ms || hop.loop != rows[i].loop)
				print_error("%s", rows[i].lines);
			assert_true(hop.deadline_ms == rows[i].deadline_ms);
			assert_int_equal(hop.no_retry, rows[i].no_retry);
			assert_int_equal(hop.loop, rows[i].loop);
			assert_int_equal(hop.was_h1,
					 from_peer ? rows[i].was_h1_from_peer : rows[i].was_h1);
		}
}

/* In every spelling, whoever sent it. */
static void test_all_of_the_meshs_are_dropped(void **state)
{
	struct sn_headers hs = fields("sennit-deadline: 1s\nx-a: b\nSENNIT-identity: root\n"
				      "sennit_identity: root\nsennit-: x\nsennit: y\n");
	struct sn_hop hop;

	(void)state;
	for (int from_peer = 0; from_peer < 2; from_peer++) {
		sn_hop_take(&hs, from_peer, SN_SLICE("me"), &hop);
		for (uint32_t i = 0; i < hs.n; i++) {
			bool ours = i != 1 && i != 5;

			assert_int_equal((v[i].flags & SN_HDR_DROPPED) != 0, ours);
			v[i].flags = 0;
		}
	}
}

static void test_a_hop_list_without_end_is_a_loop(void **state)
{
	char line[512];
	struct sn_hop hop;

	(void)state;
	for (int n = 319; n <= 322; n++) {
		struct sn_headers hs;

		snprintf(line, sizeof(line), "sennit-hop: %0*d\n", n, 0);
		hs = fields(line);
		sn_hop_take(&hs, true, SN_SLICE("me"), &hop);
		assert_int_equal(hop.loop, n > 320);
	}
}

static void test_what_a_peer_is_told(void **state)
{
	static const struct {
		const char *seen;
		bool was_h1;
		uint64_t left_ms;
		const char *hop, *protocol, *deadline; /* NULL: not said */
	} rows[] = {
		{"", false, NONE, "me", NULL, NULL},
		{"a", false, NONE, "a, me", NULL, NULL},
		{"a, b", true, 1500, "a, b, me", "HTTP/1.1", "1s500ms"},
		{"", false, 0, "me", NULL, "1ms"}, /* not "0s": that would be none in a config */
		{"", true, 31536000000u, "me", "HTTP/1.1", "8760h"},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_hop hop = {.seen = sn_slice_cstr(rows[i].seen)};
		struct sn_headers hs = fields("x-a: b\n");
		const char *want[][2] = {{"sennit-hop", rows[i].hop},
					 {"sennit-protocol", rows[i].protocol},
					 {"sennit-deadline", rows[i].deadline}};
		char text[SN_HOP_TEXT];

		sn_hop_tell(&hs, &hop, rows[i].was_h1, rows[i].left_ms, SN_SLICE("me"), text);
		for (size_t k = 0; k < SN_ARRAY_LEN(want); k++) {
			const struct sn_header *h = sn_headers_find(&hs, sn_slice_cstr(want[k][0]));

			assert_int_equal(h != NULL, want[k][1] != NULL);
			if (h)
				assert_slice(h->value, want[k][1]);
		}
	}
}

static void test_copies(void **state)
{
	static const struct {
		const char *lines;
		bool mirrored;
	} rows[] = {{"sennit-mirror: yes\n", true},
		    {"Sennit-Mirror: YES\n", true},
		    {"sennit-mirror: no\nsennit-mirror: yes\n", true},
		    {"sennit-mirror: no\n", false},
		    {"sennit-mirror:\n", false},
		    {"x-mirror: yes\n", false}};
	char text[SN_HOP_TEXT];

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_headers hs = fields(rows[i].lines);
		const struct sn_header *h;
		struct sn_hop hop;

		sn_hop_take(&hs, false, SN_SLICE("me"), &hop);
		assert_int_equal(hop.mirrored, rows[i].mirrored);
		hs = fields("");
		sn_hop_tell(&hs, &hop, false, NONE, SN_SLICE("me"), text);
		h = sn_headers_find(&hs, SN_SLICE("sennit-mirror"));
		assert_int_equal(h && sn_slice_eq_cstr(h->value, "yes"), rows[i].mirrored);
	}
}

/* What is told is what is taken: the deadline, the protocol, and ourselves at the next visit. */
static void test_round_trip(void **state)
{
	struct sn_hop hop = {.seen = SN_SLICE("a")}, back;
	char text[SN_HOP_TEXT];
	struct sn_rng rng;

	(void)state;
	sn_rng_seed(&rng, 1);
	for (int i = 0; i < 20000; i++) {
		uint64_t ms = 1 + (sn_rng_next(&rng) >> (26 + sn_rng_below(&rng, 38)));
		struct sn_headers hs = fields("");

		sn_hop_tell(&hs, &hop, true, ms, SN_SLICE("me"), text);
		for (uint32_t k = 0; k < hs.n; k++)
			hs.v[k].id = (uint8_t)sn_hdr_lookup(hs.v[k].name);
		sn_hop_take(&hs, true, SN_SLICE("me"), &back);
		if (back.deadline_ms != ms)
			print_error("%llu ms\n", (unsigned long long)ms);
		assert_true(back.deadline_ms == ms);
		assert_true(back.was_h1 && back.loop && !back.no_retry);
	}
}

static void test_room_is_not_overrun(void **state)
{
	char seen[320], text[SN_HOP_TEXT + 1];

	(void)state;
	memset(seen, 'x', sizeof(seen));
	for (uint32_t room = 0; room <= 3; room++) {
		struct sn_hop hop = {.seen = sn_slice(seen, sizeof(seen))};
		struct sn_headers hs = {.v = v, .cap = room};

		text[SN_HOP_TEXT] = '#';
		sn_hop_tell(&hs, &hop, true, 99999, SN_SLICE("0123456789abcdef"), text);
		assert_int_equal(hs.n, room);
		assert_int_equal(text[SN_HOP_TEXT], '#');
		if (room == 3)
			assert_slice(v[2].value, "1m39s999ms");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_believed),
		cmocka_unit_test(test_all_of_the_meshs_are_dropped),
		cmocka_unit_test(test_a_hop_list_without_end_is_a_loop),
		cmocka_unit_test(test_what_a_peer_is_told),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_room_is_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
