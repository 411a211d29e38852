#!/usr/bin/env bash
# Makes sure that this machine has haproxy, from the system's own packages: says
# what it does, and does nothing if it is there.
set -euo pipefail

say() { printf 'install-haproxy: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
  if [[ "$(id -u)" -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    say "sudo $*"
    sudo "$@"
  else
    die "this needs root: run as root: $*"
  fi
}

if command -v haproxy >/dev/null; then exit 0; fi
if command -v apt-get >/dev/null; then
  say "installing haproxy with apt-get; its package may also start a haproxy of its own, which serves nothing"
  as_root apt-get update -qq >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends haproxy >&2
elif command -v dnf >/dev/null; then
  say "installing haproxy with dnf"
  as_root dnf install -q -y haproxy >&2
else
  die "neither apt-get nor dnf is here: install haproxy 2.4 or newer by hand"
fi
