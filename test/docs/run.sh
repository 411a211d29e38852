#!/usr/bin/env bash
# Tries the pages of docs/, each on a machine of its own (see doc.go), and prints a
# line for each. Builds what is missing first: kubeadm and kube-apiserver of Kubernetes
# 1.34 take about 15 minutes, once.
#
# Usage: run.sh [PAGE...]        such as docs/backup.md; default: all that have steps
# Needs terraform, unshare and ip (util-linux, iproute2), and for others than root that the
# system lets users make namespaces.
# Environment:
#   TIERD_TEST_BINARY   a tierd to try the pages with instead of one built from this tree
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
readonly here repository
TIERD_TEST_CACHE="${TIERD_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tierd}"
export TIERD_TEST_CACHE

PATH="$PATH:/usr/sbin:/sbin"

die() { printf 'docs: %s\n' "$*" >&2; exit 1; }

for tool in terraform unshare ip setsid flock; do
  command -v "$tool" >/dev/null || die "there is no $tool"
done
cd "$repository"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The machines of the pages have no network to fetch anything by.
programs="$work/bin"
mkdir "$programs"
if [[ -n "${TIERD_TEST_BINARY:-}" ]]; then cp "$TIERD_TEST_BINARY" "$programs/tierd"; else go build -trimpath -o "$programs/tierd" ./cmd/tierd; fi
go build -o "$programs/etcd" go.etcd.io/etcd/server/v3
GOWORK=off go -C "$here/k3s" build -trimpath -o "$programs/k3s-data-store" .
go test -c -tags e2e -o "$programs/docs.test" ./test/docs
go test -count 1 -timeout 30m -run '^TestBuild$' ./test/objectstore >&2
go test -tags e2e -count 1 -timeout 30m -run '^TestBuild$' ./test/etcdctl >&2
etcdctl=("$TIERD_TEST_CACHE"/etcdctl-*/etcdctl)
kubernetes="$("$repository/test/e2e/kubernetes/build.sh")"
terraform/live/local/scripts/install-haproxy.sh

if (($# == 0)); then mapfile -t pages < <(grep -l '^ *<!-- tried' docs/*.md); else pages=("$@"); fi
as_root=()
if [[ "$(id -u)" != 0 ]]; then as_root=(--user --map-root-user); fi
status=0
for page in "${pages[@]}"; do
  if unshare "${as_root[@]}" --mount --uts --net --pid --fork --mount-proc --kill-child \
    env DOCS_PAGE="$repository/$page" DOCS_REPOSITORY="$repository" \
    PATH="$here/stand-ins:$programs:${etcdctl[0]%/*}:$kubernetes:$PATH" \
    "$here/machine.sh" "$programs/docs.test" -test.run '^TestPage$' -test.v >"$work/log" 2>&1; then
    printf '  PASS  %s\n' "$page"
  else
    status=1
    cat "$work/log"
    printf '  FAIL  %s\n' "$page"
  fi
done
exit "$status"
