# SPDX-License-Identifier: Apache-2.0
# Layers are archives; a program is its folder's archive plus its main.o. Files are found, never listed.

LAYERS := base net http mesh kube
src_of = $(sort $(shell find $(1) -name '*.c' 2>/dev/null))
obj_of = $(patsubst %.c,$(OUT)/obj/%.o,$(1))

$(foreach l,$(LAYERS),$(eval SRC_$(l) := $(call src_of,lib/$(l))))
$(foreach l,$(LAYERS),$(eval $(OUT)/lib/$(l).a: $(call obj_of,$(SRC_$(l)))))
$(foreach p,proxy operator init,$(eval SRC_$(p) := $(filter-out $(p)/main.c,$(call src_of,$(p)))))
$(foreach p,proxy operator init,$(eval $(OUT)/lib/$(p).a: $(call obj_of,$(SRC_$(p)))))

AR_PROXY := $(foreach a,proxy mesh http net base,$(OUT)/lib/$(a).a)
AR_OPERATOR := $(foreach a,operator kube mesh http net base,$(OUT)/lib/$(a).a)
AR_INIT := $(foreach a,init base,$(OUT)/lib/$(a).a)

PROGRAMS := $(foreach p,proxy operator init,$(if $(wildcard $(p)/main.c),$(BIN)/sennit-$(p)))
all: $(PROGRAMS) support ## the programs and the test helpers
.PHONY: all

$(OUT)/obj/%.o: %.c mk/flags.mk
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^

# A static proxy or init needs objects of its own flags only at link time: the same objects serve.
# The relocations of a static libcrypto are half a megabyte, packed a hundredth of it.
ifdef STATIC
STATIC_LD := -static-pie -Wl,--gc-sections,-z,pack-relative-relocs
PIE_FIX := $(filter-out -pie,$(LDFLAGS))
else
PIE_FIX := $(LDFLAGS)
endif

$(BIN)/sennit-proxy: $(OUT)/obj/proxy/main.o $(AR_PROXY)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PIE_FIX) $(STATIC_LD) -o $@ $^ $(if $(STATIC),$(LIBS_PROXY_STATIC),$(LIBS_BASE) $(LIBS_MESH)) -lm
	$(if $(STATIC),$(Q)strip $@)

$(BIN)/sennit-operator: $(OUT)/obj/operator/main.o $(AR_OPERATOR)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_BASE) $(if $(wildcard lib/kube/client.c),$(LIBS_CURL)) $(if $(wildcard operator/serve/ws.c),$(LIBS_WS)) $(LIBS_MESH) -lm

$(BIN)/sennit-init: $(OUT)/obj/init/main.o $(AR_INIT)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PIE_FIX) $(STATIC_LD) -o $@ $^
	$(if $(STATIC),$(Q)strip $@)

# tests/support/NAME.c is a program of its own.
SUPPORT := $(patsubst tests/support/%.c,$(BIN)/support/%,$(wildcard tests/support/*.c))
$(BIN)/support/%: $(OUT)/obj/tests/support/%.o $(foreach a,http net base,$(OUT)/lib/$(a).a)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_BASE) $(LIBS_HTTP) -lm
support: $(SUPPORT)
.PHONY: support

# tests/bench/NAME.c likewise, for `make bench` only.
$(BIN)/bench/%: $(OUT)/obj/tests/bench/%.o $(foreach a,mesh http base,$(OUT)/lib/$(a).a)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -Wl,--as-needed $(LIBS_REGEX) -lm

# tests/sim is one program.
SRC_sim := $(call src_of,tests/sim)
$(BIN)/sim: $(call obj_of,$(SRC_sim)) $(foreach a,mesh http net base,$(OUT)/lib/$(a).a)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lm -Wl,--as-needed $(LIBS_REGEX)

compile_commands.json: Makefile mk/flags.mk ## for editors and clang-tidy
	$(Q)tools/compile-commands '$(CC) $(CPPFLAGS) $(CFLAGS)' > $@

clean: ## removes build/
	rm -rf $(BUILD)
.PHONY: clean

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
