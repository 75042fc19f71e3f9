# SPDX-License-Identifier: Apache-2.0
# What the scenarios share (POSIX sh; sourced by each `run` from its own folder).
# shellcheck shell=sh
set -eu
: "${E2E_NS:?is set by e2e/run}"
scenario=${E2E_NS#e2e-}
e2e_tag=${E2E_TAG:-dev}

# k ARGS...: kubectl. kn ARGS...: the same in the scenario's own namespace.
k() { ../cluster/kubectl "$@"; }
kn() { k -n "$E2E_NS" "$@"; }

say() { echo "  $*"; }
fail() {
	echo "  FAILED: $*" >&2
	exit 1
}
now_ms() { date +%s%3N; }

# within SECONDS WHAT CMD...: waits until CMD succeeds; fails the scenario past the deadline.
within() {
	_end=$(($(date +%s) + $1)) _what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ "$(date +%s)" -ge "$_end" ]; then
			"$@" 2>&1 | tail -5 >&2 || true
			fail "$_what: not within its time"
		fi
		sleep 0.2
	done
}

# equal WHAT GOT WANT
equal() { [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"; }

# between WHAT GOT LOW HIGH
between() {
	[ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || fail "$1: got $2, want $3 to $4"
	say "$1: $2 (want $3 to $4)"
}

# namespace NAME [LABEL=VALUE...]: a fresh one that ends with the scenario
namespace() {
	_ns=$1
	shift
	k delete namespace "$_ns" --ignore-not-found --wait --timeout=90s >/dev/null
	k create namespace "$_ns" >/dev/null
	k label namespace "$_ns" "sennit-e2e=$scenario" "$@" >/dev/null
	within 20 "service account of $_ns" k -n "$_ns" get serviceaccount default
}

# apply FILE...: into the scenario's namespace, with the images' tag filled in
apply() {
	for _f in "$@"; do sed "s/:TAG\\b/:$e2e_tag/g" "$_f"; printf '\n---\n'; done | kn apply -f - >/dev/null
}

# ready DEPLOYMENT...: waits for the rollouts
ready() {
	for _d in "$@"; do
		kn rollout status "deployment/$_d" --timeout=90s >/dev/null || {
			kn get pods -o wide >&2
			kn get events --sort-by=.lastTimestamp >&2
			fail "deployment $_d did not become ready"
		}
	done
}

# containers KIND/NAME or a selector: names of a pod's init and plain containers, sorted, one line
containers() {
	kn get pod "$@" -o jsonpath='{range .items[*]}{.spec.initContainers[*].name} {.spec.containers[*].name}{"\n"}{end}' |
		tr ' ' '\n' | grep . | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# burst ARGS...: the client, in the deployment `client`
burst() { kn exec deploy/client -c client -- burst "$@"; }

# answers TEXT FILE: how many of a burst's answers contain TEXT
answers() { grep -F -- "$1" "$2" | awk '{n += $1} END {print n + 0}'; }

# condition KIND/NAME TYPE: STATUS/REASON of its first parent's condition
condition() {
	kn get "$1" -o jsonpath="{.status.parents[0].conditions[?(@.type==\"$2\")].status}/{.status.parents[0].conditions[?(@.type==\"$2\")].reason}"
}
# condition_is KIND/NAME TYPE STATUS/REASON
condition_is() { [ "$(condition "$1" "$2")" = "$3" ]; }
# observed KIND/NAME: its Accepted condition speaks of the current generation
observed() {
	[ "$(kn get "$1" -o jsonpath='{.metadata.generation}')" = \
		"$(kn get "$1" -o jsonpath='{.status.parents[0].conditions[?(@.type=="Accepted")].observedGeneration}')" ]
}
# pod_of SELECTOR: the name of its first running pod
pod_of() { kn get pod -l "$1" --field-selector=status.phase=Running -o jsonpath='{.items[0].metadata.name}'; }
# admin POD PATH: what its proxy's admin port says
admin() { k get --raw "/api/v1/namespaces/$E2E_NS/pods/$1:4191/proxy/$2"; }
# status CODE FILE: how many of a burst's answers have that status
status() { awk -v s="$1" '$2 == s {n += $1} END {print n + 0}' "$2"; }
# one ARGS...: "STATUS BODYLINE" of one request
one() { burst "$@" 2>/dev/null | sed 's/^1 //'; }
# answers_with WANT ARGS...: whether one request is answered so
answers_with() {
	_want=$1
	shift
	_got=$(one "$@")
	[ "$_got" = "$_want" ] || {
		echo "got '$_got', want '$_want'"
		return 1
	}
}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
