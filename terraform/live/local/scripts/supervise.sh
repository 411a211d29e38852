#!/usr/bin/env bash
# Keeps one program running until it is told to stop: starts it again at once
# when it ends, and after a pause that doubles when it keeps ending early.
#
# Usage: DIRECTORY=... supervise.sh NAME COMMAND...
#   SIGTERM  asks the program to end, waits for that, and ends
#   SIGHUP   asks the program to end, and starts it again when it has
# Should the supervisor itself be killed, the system asks the program to end.
source "${BASH_SOURCE[0]%/*}/lib.sh"
set +e

# In seconds: the longest pause, and from when on a program has run long enough for none.
readonly pause_max=5 steady=10

# supervise NAME COMMAND...; a function, so that bash has read all of it before it begins.
supervise() {
  local name="$1" pause=0 began
  local lock="$DIRECTORY/run/$name.lock"
  shift
  exec 9>>"$lock"
  flock -n 9 || exit 0
  echo $$ >"$lock"
  child="" stopping="" again=""
  trap 'stopping=1; kill -TERM "$child" 2>/dev/null' TERM
  trap 'again=1; kill -TERM "$child" 2>/dev/null' HUP
  trap '' INT

  # Without its lock file the deployment is gone.
  until [[ -n "$stopping" || ! -f "$lock" ]]; do
    began=$SECONDS again=""
    setpriv --pdeathsig TERM -- "$@" 9>&- &
    child=$!
    # A signal that came before its process id was known.
    [[ -z "$stopping$again" ]] || kill -TERM "$child"
    echo "$child" | put "$DIRECTORY/run/$name.child"
    # wait also ends when a signal comes.
    while kill -0 "$child" 2>/dev/null; do wait "$child"; done
    [[ -z "$stopping$again" ]] || continue
    if ((SECONDS - began >= steady)); then pause=0; fi
    echo "supervise: $name has ended, and is started again in $pause s"
    if ((pause > 0)); then
      sleep "$pause" 9>&- &
      child=$!
      wait "$child"
    fi
    pause=$((pause == 0 ? 1 : 2 * pause < pause_max ? 2 * pause : pause_max))
  done
  rm -f "$DIRECTORY/run/$name.child"
}

supervise "$@"
exit 0
