# SPDX-License-Identifier: Apache-2.0
PREFIX ?= /usr/local
install: all ## programs to $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BIN)/sennit-proxy $(BIN)/sennit-operator $(BIN)/sennit-init $(DESTDIR)$(PREFIX)/bin/
images: ## container images sennit/{proxy,init,operator}:dev
	@e2e/cluster/images
dist: ## source archive
	git archive --prefix=sennit-$(VERSION)/ -o $(BUILD)/sennit-$(VERSION).tar.gz HEAD
.PHONY: install images dist
