#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# OCI runtime wrapper for dockerd (used as its default runtime).
#
# Docker 20.10 asks for *every* capability when --privileged is given. On a
# machine whose bounding set lacks CAP_SYS_RESOURCE, runc then fails with
# "unable to apply caps: operation not permitted". This wrapper removes that one
# capability from the OCI config (create/run) or process file (exec) first.
# With a full bounding set it changes nothing.
real="${E2E_REAL_RUNC:-/usr/sbin/runc}"
bnd=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
if [ $(( 0x$bnd >> 24 & 1 )) = 0 ]; then
  file="" prev=""
  for a in "$@"; do
    case "$prev" in
      --bundle|-b) file="$a/config.json" ;;
      --process|-p) file="$a" ;;
    esac
    prev="$a"
  done
  if [ -n "$file" ] && [ -f "$file" ]; then
    jq -c '(.. | objects | .capabilities? // empty | objects | .[]?) |= map(select(. != "CAP_SYS_RESOURCE"))' \
      "$file" > "$file.tmp" && cat "$file.tmp" > "$file"
    rm -f "$file.tmp"
  fi
fi
exec "$real" "$@"
