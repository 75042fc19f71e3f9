# SPDX-License-Identifier: Apache-2.0
# One target for each program: proxy, init, operator. `make images` builds them all.
# The packages come from tools/install-deps, which does nothing when all are there: so the same file
# builds from stock Debian, or without any network from bases that have them.
ARG BUILD_BASE=debian:trixie
ARG RUNTIME_BASE=debian:trixie-slim

FROM ${BUILD_BASE} AS build
WORKDIR /src
COPY tools/install-deps tools/
RUN tools/install-deps build
COPY Makefile VERSION ./
COPY mk mk
COPY lib lib
COPY proxy proxy
COPY init init
COPY operator operator
RUN make -j"$(nproc)" STATIC=1 build/bin/sennit-proxy build/bin/sennit-init build/bin/sennit-operator

FROM ${RUNTIME_BASE} AS init
ARG VERSION=dev
COPY tools/install-deps /tmp/
RUN /tmp/install-deps runtime-init && rm -rf /tmp/install-deps /var/lib/apt/lists/*
COPY --from=build /src/build/bin/sennit-init /sennit-init
# Redirect rules need root in the pod's network namespace; the capability is the pod's to give.
USER 0:0
LABEL org.opencontainers.image.title="sennit-init" \
      org.opencontainers.image.description="Sets a pod's redirect rules and exits" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENTRYPOINT ["/sennit-init"]

FROM ${RUNTIME_BASE} AS operator
ARG VERSION=dev
COPY tools/install-deps /tmp/
RUN /tmp/install-deps runtime-operator && rm -rf /tmp/install-deps /var/lib/apt/lists/*
COPY --from=build /src/build/bin/sennit-operator /sennit-operator
USER 2103:2103
EXPOSE 8080 9443
LABEL org.opencontainers.image.title="sennit-operator" \
      org.opencontainers.image.description="Sennit's control plane: translates routes, injects proxies" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENTRYPOINT ["/sennit-operator"]

FROM scratch AS proxy
ARG VERSION=dev
COPY --from=build /src/build/bin/sennit-proxy /sennit-proxy
USER 2102:2102
EXPOSE 4140 4143 4191
LABEL org.opencontainers.image.title="sennit-proxy" \
      org.opencontainers.image.description="Sennit's data plane" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENTRYPOINT ["/sennit-proxy"]
