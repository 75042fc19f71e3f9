# SPDX-License-Identifier: Apache-2.0
# Tests are found by file name: tests/unit/<layer>/test_*.c, tests/fuzz/fuzz_*.c, tests/integration/test_*.py.

UNIT_LAYERS := base net http mesh kube proxy operator init
libs_base := base
libs_net := net base
libs_http := http net base
libs_mesh := mesh http net base
libs_kube := kube net base
libs_proxy := proxy mesh http net base
libs_operator := operator kube mesh http net base
libs_init := init base
third_net := $(LIBS_X509) $(LIBS_DNS)
third_http := $(LIBS_HTTP)
third_mesh := $(LIBS_MESH)
third_proxy := $(LIBS_MESH)
third_kube := $(LIBS_CURL) $(LIBS_X509)
third_operator := $(LIBS_CURL) $(LIBS_WS) $(LIBS_MESH)

define unit_layer
UNIT_$(1) := $$(patsubst tests/unit/%.c,$(OUT)/unit/%,$$(wildcard tests/unit/$(1)/test_*.c))
$(OUT)/unit/$(1)/%: $(OUT)/obj/tests/unit/$(1)/%.o $(foreach a,$(libs_$(1)),$(OUT)/lib/$(a).a)
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $(LIBS_BASE) $(third_$(1)) -lcmocka -lm
unit-$(1): $$(UNIT_$(1))
	@tools/run-unit $$(UNIT_$(1))
.PHONY: unit-$(1)
endef
$(foreach l,$(UNIT_LAYERS),$(eval $(call unit_layer,$(l))))

check-unit: $(foreach l,$(UNIT_LAYERS),$(UNIT_$(l))) ## unit tests
	@tools/run-unit $^
.PHONY: check-unit

# --- fuzzing: the same target file serves libFuzzer and a plain driver that replays the corpus
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_AR := $(foreach a,$(if $(SRC_operator),operator) $(if $(SRC_kube),kube) proxy mesh http net base,$(OUT)/lib/$(a).a)
FUZZ_LIBS = -Wl,--start-group $(FUZZ_AR) -Wl,--end-group $(LIBS_BASE) $(LIBS_CURL) $(LIBS_WS) $(LIBS_X509) $(LIBS_H2) $(LIBS_REGEX) $(LIBS_DNS) -lm
$(OUT)/replay/%: $(OUT)/obj/tests/fuzz/fuzz_%.o $(OUT)/obj/tests/fuzz/replay.o $(FUZZ_AR)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(FUZZ_LIBS)
$(OUT)/fuzz/%: $(OUT)/obj/tests/fuzz/fuzz_%.o $(FUZZ_AR)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(FUZZ_LIBS)
check-corpus: $(FUZZ:%=$(OUT)/replay/%) ## replay the fuzzers' corpora
	@set -e; for t in $(FUZZ); do $(OUT)/replay/$$t tests/fuzz/corpus/$$t tests/fuzz/regress/$$t; done
.PHONY: check-corpus
fuzz: ## libFuzzer: T=name (all without), S=seconds each
	@tools/fuzz "$(if $(T),$(T),$(FUZZ))" $(or $(S),60)
.PHONY: fuzz
.SECONDARY:

check-integration: all ## the real programs on loopback, driven by pytest
	@SENNIT_BIN=$(abspath $(BIN)) tools/pytest -n $(or $(PYTEST_JOBS),3) --dist loadfile tests/integration $(PYTEST_ARGS)
.PHONY: check-integration

check-tests: check-unit check-corpus check-integration
.PHONY: check-tests

check: ## install what is missing, then everything that proves a change: unit, corpus, sim, integration, lint
	@tools/install-deps build test
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory check-unit check-corpus sim
	@$(MAKE) --no-print-directory -j2 PYTEST_JOBS=$(or $(PYTEST_JOBS),5) check-integration lint # tests mostly wait
	@echo 'check: all passed'
.PHONY: check

check-asan: ## unit, corpus and integration under ASan and UBSan
	@SENNIT_SLOW=3 $(MAKE) --no-print-directory SAN=asan check-tests
check-tsan: ## the same under TSan
	@SENNIT_SLOW=3 $(MAKE) --no-print-directory SAN=tsan check-unit check-integration
check-valgrind: ## the codecs' units and a short integration run under valgrind
	@tools/install-deps build test valgrind
	@$(MAKE) --no-print-directory all $(UNIT_http) $(UNIT_base)
	@tools/run-valgrind $(UNIT_http) $(UNIT_base)
	@tools/valgrind-bin $(abspath $(BIN)) $(abspath $(OUT))/valgrind
	@SENNIT_SLOW=6 SENNIT_BIN=$(abspath $(OUT))/valgrind tools/pytest tests/integration/test_proxy.py
.PHONY: check-asan check-tsan check-valgrind

# --- the simulator: lib/mesh under a clock of its own
sim: $(BIN)/sim ## balancers, breakers, budgets and limits in a simulated mesh; SEED=n SCENARIO=name
	@mkdir -p $(BUILD)/sim
	@$(BIN)/sim -s $(or $(SEED),1) -d $(BUILD)/sim $(SCENARIO)
.PHONY: sim

lint: ## formatting, layers, banned calls, walls, shell scripts
	@tools/lint/run
.PHONY: lint
format: ## clang-format over everything
	@tools/lint/format
.PHONY: format

demo: ## three services, their proxies and a live table; SECONDS=N ends by itself
	@tools/install-deps build demo
	@$(MAKE) --no-print-directory $(BIN)/sennit-proxy $(BIN)/sennit-operator support
	@BIN=$(abspath $(BIN)) demo/run $(if $(filter command line,$(origin SECONDS)),$(SECONDS),)
.PHONY: demo

e2e: ## the scenarios on a real cluster; SCENARIO=name runs one, KEEP=1 keeps the cluster
	@tools/install-deps build e2e
	@e2e/run $(SCENARIO)
.PHONY: e2e
# --- outside judges: pytest files in tests/conformance over the harness of tests/integration
LLHTTP ?= /usr/share
$(OUT)/obj/tests/conformance/llhttp.o: CPPFLAGS += -isystem $(LLHTTP)/include/llhttp
$(BIN)/conformance/llhttp: $(OUT)/obj/tests/conformance/llhttp.o
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -w -I$(LLHTTP)/include/llhttp -DLLHTTP_STRICT_MODE=1 $(LDFLAGS) -o $@ $< \
		$(wildcard $(LLHTTP)/llhttp/*.c)
check-conformance: ## h2spec, gRPC, ordinary and slow clients, other parsers; SEED=n N=n
	@tools/install-deps build test conformance
	@tools/go-judges >/dev/null
	@$(MAKE) --no-print-directory all $(BIN)/conformance/llhttp
	@SENNIT_BIN=$(abspath $(BIN)) CONFORMANCE_STRICT=$(or $(CONFORMANCE_STRICT),1) tools/pytest tests/conformance $(PYTEST_ARGS)
.PHONY: check-conformance

bench: ## against HAProxy, nginx, nghttpx and Envoy in the same run; BENCH_ARGS=--quick
	@tools/install-deps build bench
	@$(MAKE) --no-print-directory all $(foreach b,origin origin_h2 relay load origins arrivals,$(BIN)/bench/$b)
	@BIN=$(abspath $(BIN)) tests/bench/run $(BENCH_ARGS)
bench-heads: $(BIN)/bench/heads ## instructions per head parsed and written
	@tools/install-deps build bench
	@BIN=$(abspath $(BIN)) LEVELS="scalar sse42 avx2" tests/bench/heads
bench-routes: $(BIN)/bench/routes ## instructions per request among 10 and among 5,000 routes
	@tools/install-deps build bench
	@BIN=$(abspath $(BIN)) tests/bench/routes
.PHONY: bench bench-heads bench-routes
