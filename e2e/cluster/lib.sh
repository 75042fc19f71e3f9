# SPDX-License-Identifier: Apache-2.0
# Settings and helpers that every command in this folder shares (bash; sourced). Any setting can be
# given from the environment. Three ways to a cluster, found by cluster_mode:
#   existing  KUBECONFIG was given: that cluster is used, and left as it is but for what the tests remove
#   stock     a Docker daemon that can pull images: plain kind with its own node image
#   closed    neither: a dockerd of our own in a network namespace without an uplink, and a node image
#             assembled from Debian packages and Go modules (README.md)
# shellcheck shell=bash disable=SC2034
E2E_CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
E2E_ROOT=$(cd "$E2E_CLUSTER_DIR/../.." && pwd)
: "${E2E_DIR:=${XDG_CACHE_HOME:-$HOME/.cache}/sennit}" # everything built or kept lives below this
: "${E2E_KIND_VERSION:=v0.30.0}"                       # its default node is Kubernetes 1.34
: "${E2E_K8S_VERSION:=v1.34.4}"
: "${E2E_ETCD_VERSION:=v3.6.5}"    # what kubeadm of that release expects
: "${E2E_COREDNS_VERSION:=v1.12.1}" # likewise
: "${E2E_NODE_SUITE:=bookworm}"    # Debian release of the node's root file system
: "${E2E_IMAGE_SUITE:=trixie}"     # Debian release of the program images
: "${E2E_NODE_IMAGE:=}"            # stock: empty is kind's own
: "${E2E_CLUSTER:=sennit}"
: "${E2E_NETNS:=sennit-e2e}" # closed: the network namespace
: "${E2E_TAG:=dev}"          # tag of the images that are built
: "${WORKERS:=0}"
E2E_BIN=$E2E_DIR/bin
E2E_RUN=/run/$E2E_NETNS # closed: dockerd's socket, pid file and state: $E2E_RUN.*
E2E_CLOSED_IMAGE=sennit/node:$E2E_K8S_VERSION
E2E_IMAGES="sennit/proxy:$E2E_TAG sennit/init:$E2E_TAG sennit/operator:$E2E_TAG"
export E2E_DIR E2E_NETNS E2E_CLUSTER E2E_TAG
PATH=$E2E_BIN:$PATH:/usr/sbin:/sbin
mkdir -p "$E2E_DIR" "$E2E_BIN"

die() { echo "e2e: $*" >&2; exit 1; }

# The mode is asked for once and then handed down in E2E_MODE (and forgotten by `down`).
cluster_mode() {
	if [ -z "${E2E_MODE:-}" ]; then
		if [ -n "${KUBECONFIG:-}" ]; then
			E2E_MODE=existing
		elif [ -s "$E2E_DIR/mode" ]; then
			E2E_MODE=$(cat "$E2E_DIR/mode")
		elif docker info >/dev/null 2>&1 && { docker image inspect "debian:$E2E_IMAGE_SUITE-slim" ||
			timeout 120 docker pull -q "debian:$E2E_IMAGE_SUITE-slim"; } >/dev/null 2>&1; then
			E2E_MODE=stock
		else
			E2E_MODE=closed
		fi
	fi
	case $E2E_MODE in
	existing) ;;
	stock) export KUBECONFIG="$E2E_DIR/kubeconfig" ;;
	closed)
		export KUBECONFIG="$E2E_DIR/kubeconfig" DOCKER_HOST="unix://$E2E_RUN.sock" DOCKER_BUILDKIT=0
		[ "$(id -u)" = 0 ] || die "without a Docker daemon that can pull images, a cluster needs root"
		;;
	*) die "E2E_MODE is '$E2E_MODE'; it may be existing, stock or closed" ;;
	esac
	export E2E_MODE
}

# in_ns CMD...: runs CMD where the cluster's addresses can be reached. (nsenter, not `ip netns
# exec`, which mounts a fresh /sys and so hides /sys/fs/cgroup.)
in_ns() {
	if [ "$E2E_MODE" = closed ]; then nsenter --net="/run/netns/$E2E_NETNS" "$@"; else "$@"; fi
}

# step NAME CMD...: runs CMD and notes the seconds that it took.
step() {
	local name=$1 t0 t1 rc
	shift
	t0=$(date +%s%N)
	set +e
	( set -e; "$@" ) # ("$@ || ..." would switch -e off inside)
	rc=$?
	set -e
	t1=$(date +%s%N)
	printf '%-22s %3d.%01d s\n' "$name" $(((t1 - t0) / 1000000000)) $(((t1 - t0) / 100000000 % 10)) |
		tee -a "$E2E_DIR/timings" >&2
	return $rc
}

# until_true SECONDS WHAT CMD...: waits for CMD to succeed, dies past the deadline.
until_true() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || die "$what: not within its time"
		sleep 0.2
	done
}

# The mirror that this machine's apt uses for Debian itself; nothing where it is another system.
debian_mirror() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(SITE)|$(ORIGIN)|$(LABEL)' 'Created-By: Packages' |
		awk -F'|' '$2 == "Debian" && $3 == "Debian" {print $1; exit}'
}

# The settings of this machine's apt that mmdebstrap's own apt needs to reach the mirror.
apt_options() {
	apt-config dump | grep -E '^Acquire::(Check|Retries|https?::)[^ ]* "[^"]' |
		sed 's/^/--aptopt=/'
}
