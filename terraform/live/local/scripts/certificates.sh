#!/usr/bin/env bash
# The certificates of a deployment: made by tierd itself, and renewed before they end.
# Frontends read what was renewed without a restart.
#
# Usage: DIRECTORY=... SERVER_NAMES=... certificates.sh start|run|stop
source "${BASH_SOURCE[0]%/*}/lib.sh"

# look_seconds is how often is looked what is due.
readonly look_seconds=43200

renew() {
  "$DIRECTORY/bin/tierd" pki renew --store "$DIRECTORY/pki" --server-name "$SERVER_NAMES" \
    --client apiserver=kube-apiserver,etcdctl=root
}

# run looks, and ends when it is time to look again: it is started again then.
run() {
  renew || echo "certificates: renewing has failed, and is tried again in $look_seconds s"
  exec sleep "$look_seconds"
}

case "$1" in
  start)
    renew
    "${BASH_SOURCE[0]%/*}/process.sh" start certificates "${BASH_SOURCE[0]}" run
    ;;
  run) run ;;
  stop) "${BASH_SOURCE[0]%/*}/process.sh" stop certificates ;;
  *) die "usage: certificates.sh start|run|stop" ;;
esac
