#!/usr/bin/env bash
# The frontends.
#
# Usage: DIRECTORY=... NAME=... PORT=... HEALTH_PORT=... frontend.sh start|run|stop
#        DIRECTORY=... frontend.sh roll
#   start  starts one, and has the load balancer know it once it is ready
#   stop   has the load balancer forget it, and then ends it, which drains it
#   roll   restarts those that run another release, one after the other
source "${BASH_SOURCE[0]%/*}/lib.sh"

readonly here="${BASH_SOURCE[0]%/*}" ready_max=120

run() {
  export TIERD_NAME="$NAME" TIERD_DATA_DIR="$DIRECTORY/data/$NAME" \
    TIERD_LISTEN_CLIENT_URLS="https://127.0.0.1:$PORT" TIERD_LISTEN_METRICS_URLS="http://127.0.0.1:$HEALTH_PORT"
  cp "$DIRECTORY/etc/release" "$DIRECTORY/run/$NAME.release"
  exec "$DIRECTORY/tierd" serve
}

# ready HEALTH_PORT
ready() { "$DIRECTORY/bin/tierd" health --endpoint "http://127.0.0.1:$1"; }

start() {
  launch "$NAME" "$PORT" "${BASH_SOURCE[0]}" run
  await "$ready_max" "$NAME is ready" ready "$HEALTH_PORT"
  "$here/balancer.sh" add "$NAME" "$PORT" "$HEALTH_PORT"
}

stop() {
  "$here/balancer.sh" remove "$NAME"
  "$here/process.sh" stop "$NAME"
  rm -rf "$DIRECTORY/run/$NAME.release" "$DIRECTORY/data/$NAME"
}

current() { cmp -s "$DIRECTORY/etc/release" "$DIRECTORY/run/$1.release"; }

roll() {
  local file name port health program
  for file in "$DIRECTORY"/etc/backends/*; do
    name="${file##*/}"
    read -r port health <"$file"
    if current "$name"; then continue; fi
    "$here/balancer.sh" remove "$name"
    "$here/process.sh" restart "$name"
    await "$ready_max" "$name runs what is deployed" current "$name"
    await "$ready_max" "$name is ready" ready "$health"
    "$here/balancer.sh" add "$name" "$port" "$health"
    echo "$name runs what is deployed"
  done
  for program in "$DIRECTORY"/bin/tierd-*; do
    [[ "$program" -ef "$DIRECTORY/bin/tierd" ]] || rm -f "$program"
  done
}

case "$1" in
  start | run | stop | roll) "$1" ;;
  *) die "usage: frontend.sh start|run|stop|roll" ;;
esac
