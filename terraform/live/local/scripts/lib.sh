# What the scripts of this deployment share. Sourced by them.
#
# A deployment is one directory, $DIRECTORY:
#   bin/      links to the programs      etc/    configuration, and what is deployed
#   scripts/  copies of these
#   secrets/  passwords, keys            pki/    certificates
#   data/     one folder per process     log/    one file per process
#   run/      NAME.lock is held while NAME is supervised, and names the supervisor; NAME.child

set -euo pipefail
umask 077

# lock_max is longer than anything that is done under a lock, in seconds.
readonly lock_max=10800

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
  local until=$((SECONDS + $1)) what="$2"
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || die "$what: not within the time; the last attempt said: $("$@" 2>&1 | tail -n 3)"
    sleep 0.1
  done
}

# locked NAME COMMAND...: one at a time.
locked() {
  local name="$1"
  shift
  (flock -w "$lock_max" 8 && "$@" 8>&-) 8>"$DIRECTORY/run/$name.lock"
}

# put FILE: writes what comes in, at once or not at all.
put() {
  cat >"$1.new"
  mv "$1.new" "$1"
}

# password NAME: of a user of Redis or of the Sentinels.
password() { cat "$DIRECTORY/secrets/redis-$1"; }

# ask PORT USER COMMAND...: of a Redis or a Sentinel.
ask() {
  local port="$1" user="$2"
  shift 2
  REDISCLI_AUTH="$(password "$user")" timeout 3 "$DIRECTORY/bin/redis-cli" -h 127.0.0.1 -p "$port" --user "$user" --no-auth-warning -e "$@"
}

# sentinels: the ports of those there are.
sentinels() { cat "$DIRECTORY/etc/sentinels"; }

# primary SHARD: the port of the primary that the Sentinels name; nothing if they know none.
primary() {
  local port answer
  [[ -f "$DIRECTORY/etc/sentinels" ]] || return 0
  for port in $(sentinels); do
    answer="$(ask "$port" sentinel sentinel get-master-addr-by-name "shard-$1" 2>/dev/null)" || continue
    sed -n 2p <<<"$answer"
    return
  done
}

# listens PORT: whether anything does on this machine.
listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# launch NAME PORT COMMAND...: has a command supervised from now on that will listen on
# a port. Whoever fails behind it leaves nothing running: of what could not be made
# nothing is asked to end.
launch() {
  local process="$1" port="$2"
  shift 2
  if ! supervised "$process" && listens "$port"; then die "port $port is in use: $process cannot listen there"; fi
  # shellcheck disable=SC2064
  trap "[[ \$? == 0 ]] || \"${BASH_SOURCE[0]%/*}/process.sh\" stop $process" EXIT
  "${BASH_SOURCE[0]%/*}/process.sh" start "$process" "$@"
}

# supervised NAME: whether somebody keeps it running.
supervised() {
  [[ -f "$DIRECTORY/run/$1.lock" ]] && ! flock -n "$DIRECTORY/run/$1.lock" true
}
