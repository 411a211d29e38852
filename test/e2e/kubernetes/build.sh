#!/usr/bin/env bash
# Builds kube-apiserver, kube-controller-manager, kubectl and kubeadm from the public
# Go module of Kubernetes, for the end-to-end test beside this script and for the one
# of the pages (test/docs).
#
# The module cannot be installed with `go install`: its go.mod points at the
# `staging` folders of the Kubernetes repository, which a module archive leaves
# out. Each of those folders is also published as a module of its own, so the
# build works on a copy whose replace lines name the published modules.
#
# Usage: build.sh            builds what is absent, prints the folder of the binaries
# Environment:
#   TIERD_KUBERNETES_CACHE   where source and binaries are kept
#                            (default ${XDG_CACHE_HOME:-$HOME/.cache}/tierd/kubernetes-1.34.4)
#
# Takes about 15 minutes on two cores the first time, and no time afterwards.
set -euo pipefail

readonly version=1.34.4
readonly module_version="v${version}"
readonly staging_version="v0.${version#1.}"
readonly cache="${TIERD_KUBERNETES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tierd/kubernetes-${version}}"
readonly source_dir="$cache/source"
readonly bin_dir="$cache/bin"
readonly programs=(kube-apiserver kube-controller-manager kubectl kubeadm)

say() { printf 'kubernetes build: %s\n' "$*" >&2; }

missing() {
  local program
  for program in "${programs[@]}"; do
    [[ -x "$bin_dir/$program" ]] || printf '%s\n' "$program"
  done
}

# The copy is renamed into place when it is complete, so that an interrupted run
# never leaves half a source tree that looks whole.
copy_source() {
  [[ -d "$source_dir" ]] && return
  local origin partial="$cache/source.partial"
  say "fetching k8s.io/kubernetes $module_version"
  (cd "$cache" && go mod download "k8s.io/kubernetes@$module_version")
  origin="$(go env GOMODCACHE)/k8s.io/kubernetes@$module_version"
  rm -rf "$partial"
  cp -R "$origin" "$partial"
  chmod -R u+w "$partial"
  rm -rf "$partial/go.work" "$partial/go.work.sum" "$partial/vendor"
  sed -i.orig -E \
    "s#^([[:space:]]*)(k8s\.io/[a-z0-9-]+) => \./staging/src/.*#\1\2 => \2 ${staging_version}#" \
    "$partial/go.mod"
  mv "$partial" "$source_dir"
}

linker_flags() {
  local package flags="-s -w"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$module_version"
    flags+=" -X $package.gitMajor=1 -X $package.gitMinor=34"
    flags+=" -X $package.gitTreeState=archive"
  done
  printf '%s' "$flags"
}

# build_programs PROGRAM...: those that are there stay as they are, since they may be
# running.
build_programs() {
  local out="$cache/bin.partial"
  rm -rf "$out"
  mkdir -p "$out" "$bin_dir"
  say "building $* $version (about 15 minutes on two cores for all)"
  (cd "$source_dir" &&
    GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0 \
      nice -n 19 go build -trimpath -ldflags "$(linker_flags)" -o "$out/" "${@/#/./cmd/}")
  mv "$out"/* "$bin_dir/"
}

mkdir -p "$cache"
mapfile -t absent < <(missing)
if ((${#absent[@]} > 0)); then
  copy_source
  build_programs "${absent[@]}"
fi
printf '%s\n' "$bin_dir"
