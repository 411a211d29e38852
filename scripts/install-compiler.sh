#!/usr/bin/env bash
# Makes sure that this machine has a C compiler, which Go's race detector needs:
# says what it does, and does nothing if there is one.
set -euo pipefail

say() { printf 'install-compiler: %s\n' "$*" >&2; }

if command -v "$(go env CC)" >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null; then
  say "no C compiler was found: install one (macOS: xcode-select --install)"
  exit 1
fi
say "no C compiler was found: installing gcc with apt-get"
root=(env)
if [[ "$(id -u)" -ne 0 ]]; then root=(sudo); fi
"${root[@]}" apt-get update -qq >&2
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends gcc libc6-dev >&2
