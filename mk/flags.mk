# SPDX-License-Identifier: Apache-2.0
# Compiler flags and flavours. Each flavour has objects of its own below $(BUILD)/<flavour>/.

CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.1.0)

WARN := -Wall -Wextra -Wconversion -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes \
	-Wformat=2 -Wundef $(if $(DEV),-Werror)
CPPFLAGS := -Ilib -I. -D_GNU_SOURCE -DSN_VERSION='"$(VERSION)"'
CFLAGS := -std=gnu11 -g $(WARN) -fvisibility=hidden -fno-strict-aliasing -pthread
LDFLAGS := -pthread

ifeq ($(SAN),asan)
FLAVOUR := asan
CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(SAN),tsan)
FLAVOUR := tsan
CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=thread
LDFLAGS += -fsanitize=thread
else ifeq ($(SAN),fuzz)
FLAVOUR := fuzz
CC := clang-14
CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(SAN),cover)
FLAVOUR := cover
CFLAGS += -O0 --coverage
LDFLAGS += --coverage
else
FLAVOUR := release
CFLAGS += -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
LDFLAGS += -pie -Wl,-z,relro,-z,now
endif
FLAVOUR := $(FLAVOUR)$(if $(filter clang%,$(CC)),$(if $(filter fuzz,$(SAN)),,-clang))

OUT := $(BUILD)/$(FLAVOUR)
BIN := $(if $(filter release,$(FLAVOUR)),$(BUILD)/bin,$(OUT)/bin)

# Third-party libraries, by what uses them.
LIBS_BASE := -lyaml -lyajl
LIBS_X509 := -lssl -lcrypto
LIBS_CURL := -lcurl
LIBS_WS := -lwebsockets
LIBS_H2 := -lnghttp2
LIBS_REGEX := -lpcre2-8
LIBS_DNS := -lcares
# What the layers up to http, or up to mesh, may need; a program that uses none of it links none.
LIBS_HTTP := -Wl,--as-needed $(LIBS_H2) $(LIBS_X509) $(LIBS_DNS)
LIBS_MESH := $(LIBS_HTTP) $(LIBS_REGEX)
# What pkg-config adds for libssl differs by distribution (-ldl, -lz, -lzstd). The linker's warnings of
# getaddrinfo and dlopen are about functions of libcrypto and c-ares that nothing here calls.
LIBS_PROXY_STATIC = -lyaml -l:libyajl_s.a -l:libnghttp2.a -l:libpcre2-8.a -l:libcares.a $(shell pkg-config --static --libs libssl)
