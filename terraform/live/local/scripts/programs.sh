#!/usr/bin/env bash
# Finds the programs that a deployment runs, installs from the system's packages or
# builds what is missing, and links them in its directory.
#
# Usage: DIRECTORY=... REPOSITORY=... REDIS_SERVER=... S3_SERVER=... programs.sh
# Empty variables stand for what is found.
source "${BASH_SOURCE[0]%/*}/lib.sh"

link() {
  local path
  path="$(command -v "$1")" || die "there is no program $1"
  ln -sfn "$(realpath "$path")" "$DIRECTORY/bin/$2"
}

redis() {
  local server="${REDIS_SERVER:-}" cli
  if [[ -z "$server" ]]; then
    "$REPOSITORY/scripts/install-redis.sh" redis
    server="$(command -v redis-server || command -v valkey-server)"
  fi
  server="$(command -v "$server")" || die "there is no program $REDIS_SERVER"
  # The client is beside the server, or the system's.
  for cli in "${server%/*}/redis-cli" "${server%/*}/valkey-cli" redis-cli valkey-cli; do
    if command -v "$cli" >/dev/null; then break; fi
  done
  link "$server" redis-server
  link "$cli" redis-cli
}

s3() {
  local server="${S3_SERVER:-}" version
  if [[ -z "$server" ]]; then
    version="$(sed -n 's/^const version = "\(.*\)"$/\1/p' "$REPOSITORY/test/objectstore/build.go")"
    server="${TIERD_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tierd}/versitygw-$version/versitygw"
    [[ -x "$server" ]] || (cd "$REPOSITORY" && "${GO:-go}" test -count 1 -timeout 30m -run '^TestBuild$' ./test/objectstore) >&2
  fi
  link "$server" s3-server
}

balancer() {
  PATH="$PATH:/usr/sbin:/sbin"
  "${BASH_SOURCE[0]%/*}/install-haproxy.sh"
  link haproxy haproxy
}

for tool in flock setsid setpriv sha256sum od; do
  command -v "$tool" >/dev/null || die "there is no $tool: it comes with util-linux and coreutils"
done
redis
s3
balancer
