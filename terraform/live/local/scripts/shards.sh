#!/usr/bin/env bash
# Which Redis endpoints the keyspace lies on.
#
# Usage: DIRECTORY=... URL=... SHARD=... shards.sh list|unlist
#        DIRECTORY=... shards.sh apply
#   list    notes an endpoint that runs
#   apply   makes the keyspace lie on the endpoints that are noted, and on no others
#   unlist  has an endpoint emptied, so that it can be stopped
source "${BASH_SOURCE[0]%/*}/lib.sh"

readonly endpoints="$DIRECTORY/etc/endpoints"
noted="$endpoints/$(printf %03d "${SHARD:-0}")"
readonly noted

# drain_max is how long the keys of an endpoint may take to leave it, and clients to compact
# the history that it keeps until then.
readonly drain_max=2h

# urls: those that are noted, the home first.
urls() { cat "$endpoints"/*; }

apply() {
  local -a all
  mapfile -t all < <(urls)
  "$DIRECTORY/tierd" shard apply "$@" "${all[@]}"
}

# serving: whether a frontend runs. Where none does, the whole deployment goes.
serving() {
  local backend
  for backend in "$DIRECTORY"/etc/backends/*; do
    [[ -f "$backend" ]] && return
  done
  return 1
}

# unlist leaves what cannot be emptied as it was.
unlist() {
  if serving && ! apply --wait "$drain_max"; then
    list
    die "endpoint $SHARD is not empty yet: its Redis goes on, and the same command does too"
  fi
  : >"$DIRECTORY/etc/retired-$SHARD"
}

list() { echo "$URL" | put "$noted"; }

case "$1" in
  list) list ;;
  apply) locked shards apply --spread ;;
  unlist)
    # Before the lock: of several that go, none is filled with what another one had.
    rm -f "$noted"
    locked shards unlist
    ;;
  *) die "usage: shards.sh list|apply|unlist" ;;
esac
