#!/usr/bin/env bash
# Starts and stops supervised processes. Both do nothing where nothing is to be done.
#
# Usage: DIRECTORY=... process.sh start NAME COMMAND...
#        DIRECTORY=... process.sh stop|restart NAME
source "${BASH_SOURCE[0]%/*}/lib.sh"

# stop_max is how long a process may take to end: a drain takes up to 15 s, and the
# parts below it up to 10 s each.
readonly stop_max=60 start_max=10

start() {
  local name="$1"
  supervised "$name" && return
  mkdir -p "$DIRECTORY/data/$name"
  setsid --fork "${BASH_SOURCE[0]%/*}/supervise.sh" "$@" </dev/null >>"$DIRECTORY/log/$name.log" 2>&1
  await "$start_max" "$name is supervised" test -f "$DIRECTORY/run/$name.child"
}

pid_of() { cat "$DIRECTORY/run/$1" 2>/dev/null || true; }

gone() { ! kill -0 "$1" 2>/dev/null; }

stop() {
  local name="$1" supervisor child
  supervisor="$(pid_of "$name.lock")" child="$(pid_of "$name.child")"
  if supervised "$name" && [[ -n "$supervisor" ]]; then
    kill -TERM "$supervisor" 2>/dev/null || true
    if ! flock -w "$stop_max" "$DIRECTORY/run/$name.lock" true; then
      echo "process: $name did not end within $stop_max s, and is killed" >&2
      kill -KILL -- "-$supervisor" 2>/dev/null || true
    fi
    [[ -z "$child" ]] || await "$stop_max" "$name ends" gone "$child"
  fi
  rm -f "$DIRECTORY/run/$name".{child,lock}
}

# restart has the program, not its supervisor, end and start.
restart() {
  local name="$1" child
  child="$(pid_of "$name.child")"
  kill -HUP "$(pid_of "$name.lock")"
  await "$stop_max" "$name ends" gone "$child"
}

case "$1" in
  start | stop | restart) "$@" ;;
  *) die "usage: process.sh start|stop|restart NAME" ;;
esac
