#!/usr/bin/env bash
# Makes sure that this machine has a server for tierd's hot tier, from the
# system's own packages: says what it does, and does nothing if there is one.
#
# Usage: install-redis.sh [redis|valkey]
#   redis   redis-server 7 or newer; a valkey-server 8 or newer will do (default)
#   valkey  valkey-server 8 or newer
set -euo pipefail

readonly wanted="${1:-redis}"

say() { printf 'install-redis: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# major PROGRAM: its major version, 0 if it is not there.
major() {
  local version
  version="$("$1" --version 2>/dev/null | sed -nE 's/^(Redis|Valkey) server v=([0-9]+)\..*/\2/p')" || true
  printf '%s' "${version:-0}"
}

fit() {
  [[ "$(major valkey-server)" -ge 8 ]] && return
  [[ "$wanted" == redis && "$(major redis-server)" -ge 7 ]]
}

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

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >&2
}

# candidate PACKAGE: the major version that apt would install, 0 if none.
candidate() {
  local version
  version="$(apt-cache policy "$1" 2>/dev/null | sed -nE 's/^ *Candidate: ([0-9]+:)?([0-9]+)\..*/\2/p')"
  printf '%s' "${version:-0}"
}

# source_of CODENAME: the mirror and the key of the system's own packages, as
# "URI [KEYRING]", from either form of apt's source lists.
source_of() {
  local found
  found="$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v suite="$1" '
    function flush(  i, n, names) {
      n = split(suites, names, " ")
      for (i = 1; i <= n; i++) if (names[i] == suite && uri != "") print uri, key
      uri = key = suites = ""
    }
    /^Types:/     { flush() }
    /^URIs:/      { uri = $2 }
    /^Suites:/    { sub(/^Suites: */, ""); suites = $0 }
    /^Signed-By:/ { key = $2 }
    /^[ \t]*$/    { flush() }
    END           { flush() }')" || true
  [[ -n "$found" ]] || found="$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -nE "s/^deb( +\[.*\])? +([a-z]+:[^ ]+) +$1 .*/\2/p")" || true
  [[ -n "$found" ]] && head -n 1 <<<"$found"
}

# Debian 12 has Valkey in its backports, which are off unless asked for.
add_backports() {
  local codename uri key source
  codename="$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")"
  [[ "$(. /etc/os-release && printf '%s' "${ID:-}")" == debian && -n "$codename" ]] || return 0
  source="$(source_of "$codename")" || die "no source of Debian's packages was found: add $codename-backports by hand"
  read -r uri key <<<"$source"
  say "adding $codename-backports from $uri to apt's sources"
  {
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$uri" "$codename"
    [[ -z "$key" ]] || printf 'Signed-By: %s\n' "$key"
  } | as_root tee /etc/apt/sources.list.d/tierd-backports.sources >/dev/null
  as_root apt-get update -qq >&2
}

install_with_apt() {
  as_root apt-get update -qq >&2
  if [[ "$wanted" == redis && "$(candidate redis-server)" -ge 7 ]]; then
    say "installing redis-server with apt-get; its package may also start a Redis of its own on port 6379, which tierd does not use"
    apt_install redis-server
    return
  fi
  [[ "$(candidate valkey-server)" -ge 8 ]] || add_backports
  say "installing valkey-server with apt-get; its package may also start a server of its own on port 6379, which tierd does not use"
  apt_install valkey-server
}

install() {
  if command -v apt-get >/dev/null; then
    install_with_apt
  elif command -v brew >/dev/null; then
    say "brew install $wanted"
    brew install "$wanted" >&2
  else
    die "neither apt-get nor Homebrew is here: install Redis 7 or newer, or Valkey 8 or newer, by hand"
  fi
}

[[ "$wanted" == redis || "$wanted" == valkey ]] || die "usage: install-redis.sh [redis|valkey]"
if fit; then exit 0; fi
say "no $wanted server that is new enough was found"
install
fit || die "the packages of this system have no server that is new enough: install Redis 7 or newer, or Valkey 8 or newer, by hand"
