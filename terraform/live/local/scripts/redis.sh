#!/usr/bin/env bash
# One redis-server of a shard.
#
# Usage: DIRECTORY=... SHARD=... MEMBER=... PORT=... FIRST=... redis.sh start|run|stop
#        DIRECTORY=... MEMORY=... redis.sh limit PORT...
#   FIRST   the port of the server that begins as the primary
#   limit   sets maxmemory of servers that run
source "${BASH_SOURCE[0]%/*}/lib.sh"

readonly in_step_max=120
readonly name="redis-${SHARD:-}-${MEMBER:-}"
readonly config="$DIRECTORY/etc/$name.conf"

configure() {
  put "$config" <<END
port $PORT
bind 127.0.0.1
dir $DIRECTORY/data/$name
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
repl-diskless-sync-delay 0
masteruser replica
masterauth $(password replica)
aclfile $DIRECTORY/etc/redis-users.acl
END
}

# leader: whom this server follows; nothing if it is the primary itself. A server
# that comes back after another one was promoted follows that one from the start:
# as a primary it would have no replica that acknowledges writes, until the
# Sentinels take notice of it.
leader() {
  local named
  named="$(primary "$SHARD")"
  named="${named:-$FIRST}"
  [[ "$named" == "$PORT" ]] || printf %s "$named"
}

run() {
  local leader
  leader="$(leader)"
  # Which of the two it is the Sentinels write into the configuration, and this
  # decides anew.
  sed -i '/^replicaof /d' "$config"
  [[ -z "$leader" ]] || printf 'replicaof 127.0.0.1 %s\n' "$leader" >>"$config"
  exec "$DIRECTORY/bin/redis-server" "$config"
}

replication() { ask "$PORT" tierd info replication | tr -d '\r'; }

# ready: a primary that serves, or a replica in step.
ready() {
  local state
  state="$(replication)"
  grep -qx 'role:master' <<<"$state" && return
  grep -qx 'master_link_status:up' <<<"$state" || { printf '%s\n' "$state"; return 1; }
}

start() {
  rm -f "$DIRECTORY/etc/retired-$SHARD"
  mkdir -p "$DIRECTORY/data/$name"
  [[ -f "$config" ]] || configure
  launch "$name" "$PORT" "${BASH_SOURCE[0]}" run
  await "$in_step_max" "$name serves, or is in step" ready
}

other_primary() {
  local named
  named="$(primary "$SHARD")"
  [[ -n "$named" && "$named" != "$PORT" ]]
}

# leave hands the shard to another member, if it is to live on without this one.
leave() {
  local port
  [[ "$(primary "$SHARD")" == "$PORT" ]] || return 0
  for port in $(sentinels); do
    ask "$port" sentinel sentinel failover "shard-$SHARD" >/dev/null && break
  done
  await "$in_step_max" "another server is promoted in the place of $name" other_primary
}

# forget makes the Sentinels look anew who is there, one after the other.
forget() {
  local port
  [[ -n "$(primary "$SHARD")" ]] || return 0
  for port in $(sentinels); do
    ask "$port" sentinel sentinel reset "shard-$SHARD" >/dev/null
  done
}

stop() {
  leave
  "${BASH_SOURCE[0]%/*}/process.sh" stop "$name"
  forget
  # What a shard held goes with it; what a member of one held is asked for again.
  if [[ -f "$DIRECTORY/etc/retired-$SHARD" ]]; then rm -rf "$config" "$DIRECTORY/data/$name"; fi
}

limit() {
  local port
  for port in "$@"; do
    ask "$port" operator config set maxmemory "$MEMORY" >/dev/null
    ask "$port" operator config rewrite >/dev/null
  done
}

case "$1" in
  start | run | stop | limit) "$@" ;;
  *) die "usage: redis.sh start|run|stop|limit" ;;
esac
