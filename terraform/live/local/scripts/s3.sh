#!/usr/bin/env bash
# The object tier: an S3 server that keeps objects as files.
#
# Usage: DIRECTORY=... PORT=... s3.sh start|run|stop
source "${BASH_SOURCE[0]%/*}/lib.sh"

readonly ready_max=30
readonly data="$DIRECTORY/data/s3"

run() {
  # A bucket is a folder.
  mkdir -p "$data"/{buckets/archive,iam,versions}
  ROOT_ACCESS_KEY=tierd ROOT_SECRET_KEY="$(cat "$DIRECTORY/secrets/s3")" \
    exec "$DIRECTORY/bin/s3-server" --region us-east-1 --port "127.0.0.1:$PORT" --iam-dir "$data/iam" --quiet \
    posix --versioning-dir "$data/versions" "$data/buckets"
}

case "$1" in
  start)
    launch s3 "$PORT" "${BASH_SOURCE[0]}" run
    await "$ready_max" "the S3 server answers" listens "$PORT"
    ;;
  run) run ;;
  stop) "${BASH_SOURCE[0]%/*}/process.sh" stop s3 ;;
  *) die "usage: s3.sh start|run|stop" ;;
esac
