# SPDX-License-Identifier: Apache-2.0
# One GNU Makefile: `make help` lists what it does. Fragments: mk/*.mk.
# Variables: V=1 shows commands, DEV=1 adds -Werror, SAN=asan|tsan|fuzz picks a sanitizer flavour,
# STATIC=1 links sennit-proxy and sennit-init statically, BUILD=DIR builds elsewhere, CC=clang-14.

.DEFAULT_GOAL := all
BUILD ?= build
Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-7s %s\n' $(1) $(2))

include mk/flags.mk
include mk/build.mk
include mk/test.mk
include mk/install.mk

help: ## this list
	@grep -hE '^[a-z][a-z0-9-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20
.PHONY: help
