#!/usr/bin/env bash
# The load balancer: it passes TCP on to the frontends that are ready, and knows
# nothing of what is said there.
#
# Usage: DIRECTORY=... balancer.sh start|stop
#        DIRECTORY=... balancer.sh add NAME PORT HEALTH_PORT | remove NAME
#        DIRECTORY=... ADDRESS=... PORT=... STATUS_PORT=... balancer.sh configure
source "${BASH_SOURCE[0]%/*}/lib.sh"

readonly taken_max=30
readonly config="$DIRECTORY/etc/haproxy.cfg" place="$DIRECTORY/etc/balancer" backends="$DIRECTORY/etc/backends"

# configure says where it listens.
configure() { printf 'ADDRESS=%s PORT=%s STATUS_PORT=%s\n' "$ADDRESS" "$PORT" "$STATUS_PORT" | put "$place"; }

# write makes the configuration of the frontends that are listed. Its name is the
# hash of the list and of the moment, and what the status port answers.
write() {
  local file name generation
  # shellcheck source=/dev/null
  source "$place"
  generation="$(date +%s%N)"
  put "$config" <<END
global
    maxconn 8192
    # Connections of the clients that were there before a reload stay, and the
    # listening sockets are handed over.
    stats socket $DIRECTORY/run/haproxy.sock mode 600 level admin expose-fd listeners

defaults
    mode tcp
    timeout connect 2s
    # A watch may be silent for long, and keepalives of gRPC come every two hours.
    timeout client 3h
    timeout server 3h
    timeout check 5s
    option tcp-smart-accept
    option tcp-smart-connect
    option clitcpka
    option srvtcpka
    # A frontend that refuses a connection is not the only one.
    retries 5
    option redispatch 1

listen tierd
    bind $ADDRESS:$PORT
    balance leastconn
    # Ready is what the frontend says, on a port without TLS of this machine.
    option httpchk GET /readyz
    http-check expect status 200
    default-server inter 500ms fastinter 200ms downinter 300ms fall 2 rise 1
$(for file in "$backends"/*; do
    [[ -f "$file" ]] || continue
    name="${file##*/}"
    read -r port health <"$file"
    echo "    server $name 127.0.0.1:$port check port $health"
  done)

listen status
    mode http
    timeout http-request 5s
    timeout client 30s
    timeout server 30s
    bind 127.0.0.1:$STATUS_PORT
    http-request return status 200 content-type text/plain string "$generation" if { path /generation }
    stats enable
    stats uri /
END
  printf '%s\n' "$generation"
}

# get PATH: of the status port.
get() {
  local line
  # shellcheck source=/dev/null
  source "$place"
  exec 7<>"/dev/tcp/127.0.0.1/$STATUS_PORT"
  printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&7
  timeout 5 cat <&7
  exec 7>&-
}

# serves GENERATION: whether that configuration is in use.
serves() { [[ "$(get /generation | tail -n 1)" == "$1" ]]; }

# reload puts a new configuration in use; where no balancer runs there is nothing to do.
reload() {
  local generation
  generation="$(write)"
  "$DIRECTORY/bin/haproxy" -c -q -f "$config"
  supervised load-balancer || return 0
  # One that has just died comes back with the new configuration.
  kill -USR2 "$(cat "$DIRECTORY/run/load-balancer.child")" || true
  await "$taken_max" "the load balancer takes its configuration" serves "$generation"
}

up() { get '/;csv' | grep -q "^tierd,$1,.*,UP,"; }

add() {
  echo "$2 $3" | put "$backends/$1"
  reload
  ! supervised load-balancer || await "$taken_max" "the load balancer finds $1 ready" up "$1"
}

remove() {
  [[ -f "$backends/$1" ]] || return 0
  rm -f "$backends/$1"
  reload
}

start() {
  local generation
  configure
  generation="$(write)"
  launch load-balancer "$PORT" "$DIRECTORY/bin/haproxy" -W -db -f "$config"
  await "$taken_max" "the load balancer serves" serves "$generation"
}

stop() { "${BASH_SOURCE[0]%/*}/process.sh" stop load-balancer; }

case "$1" in
  start | stop | add | remove) locked balancer "$@" ;;
  *) die "usage: balancer.sh start|stop|add|remove" ;;
esac
