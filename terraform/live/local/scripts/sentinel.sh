#!/usr/bin/env bash
# One Sentinel, and what all of them watch.
#
# Usage: DIRECTORY=... NUMBER=... PORT=... sentinel.sh start|stop
#        DIRECTORY=... SHARD=... PORT=... sentinel.sh watch|unwatch   (PORT: of the shard's first server)
source "${BASH_SOURCE[0]%/*}/lib.sh"

# down_after is when a silent server counts as dead, and failover_timeout half of the
# time until Sentinels try again what did not come to an end, in milliseconds.
readonly down_after=2000 failover_timeout=10000 quorum=2 known_max=60

start() {
  local name="sentinel-$NUMBER"
  local config="$DIRECTORY/etc/$name.conf"
  mkdir -p "$DIRECTORY/data/$name"
  # The Sentinel itself keeps what it knows in this file.
  [[ -f "$config" ]] || put "$config" <<END
port $PORT
bind 127.0.0.1
dir $DIRECTORY/data/$name
aclfile $DIRECTORY/etc/sentinel-users.acl
sentinel sentinel-user sentinel
sentinel sentinel-pass $(password sentinel)
END
  launch "$name" "$PORT" "$DIRECTORY/bin/redis-server" "$config" --sentinel
  await "$known_max" "$name answers" ask "$PORT" sentinel ping
}

stop() { "${BASH_SOURCE[0]%/*}/process.sh" stop "sentinel-$NUMBER"; }

# known PORT: whether a Sentinel has found the shard's replicas and the other Sentinels.
known() {
  local state
  state="$(ask "$1" sentinel sentinel master "shard-$SHARD" | tr -d '\r' | paste - -)"
  grep -qx $'flags\tmaster' <<<"$state" && grep -qx $'num-other-sentinels\t2' <<<"$state" &&
    ! grep -qx $'num-slaves\t0' <<<"$state" || { printf '%s\n' "$state"; return 1; }
}

watch() {
  local port set="shard-$SHARD"
  for port in $(sentinels); do
    if ! ask "$port" sentinel sentinel master "$set" >/dev/null 2>&1; then
      ask "$port" sentinel sentinel monitor "$set" 127.0.0.1 "$PORT" "$quorum" >/dev/null
    fi
    ask "$port" sentinel sentinel set "$set" auth-user sentinel auth-pass "$(password sentinel)" \
      down-after-milliseconds "$down_after" failover-timeout "$failover_timeout" parallel-syncs 1 >/dev/null
  done
  for port in $(sentinels); do
    await "$known_max" "the Sentinel on port $port knows $set" known "$port"
  done
}

unwatch() {
  local port
  for port in $(sentinels); do
    # One that is gone knows nothing any more.
    ask "$port" sentinel sentinel remove "shard-$SHARD" >/dev/null 2>&1 || true
  done
}

case "$1" in
  start | stop | watch | unwatch) "$1" ;;
  *) die "usage: sentinel.sh start|stop|watch|unwatch" ;;
esac
