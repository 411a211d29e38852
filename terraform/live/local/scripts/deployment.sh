#!/usr/bin/env bash
# The directory of a deployment: what is in it before anything runs.
#
# Usage: DIRECTORY=... deployment.sh create|scripts|destroy
#   scripts  copies the scripts there, each at once, for what runs uses them
source "${BASH_SOURCE[0]%/*}/lib.sh"

# marker is in directories that were made here, and only those are removed.
readonly marker="$DIRECTORY/.tierd-local"

# random: 256 bits as hexadecimal digits.
random() { od -An -tx1 -N32 /dev/urandom | tr -d ' \n'; }

# secret FILE: made once.
secret() { [[ -s "$DIRECTORY/secrets/$1" ]] || random | put "$DIRECTORY/secrets/$1"; }

hash_of() { printf %s "$(password "$1")" | sha256sum | cut -d' ' -f1; }

# user NAME RIGHTS...: a line of an ACL file.
user() {
  local name="$1"
  shift
  printf 'user %s on #%s %s\n' "$name" "$(hash_of "$name")" "$*"
}

# rights FILE: the lists of deploy/redis, with the password and the keyspaces of this deployment.
rights() {
  sed -e "/^user tierd/s/resetpass/#$(hash_of tierd)/" \
    -e "s/~{default:\\*/~{$KEYSPACE:* ~{drill-*/" "$RIGHTS/$1"
}

create() {
  if [[ -d "$DIRECTORY" && ! -f "$marker" && -n "$(ls -A "$DIRECTORY")" ]]; then
    die "$DIRECTORY is not empty, and no deployment: it will be removed by terraform destroy, so choose another one"
  fi
  mkdir -p "$DIRECTORY"/{bin,scripts,etc/endpoints,etc/backends,secrets,pki,data,log,run}
  printf '{"first_port": %s, "keyspace": "%s"}\n' "$FIRST_PORT" "$KEYSPACE" | put "$marker"
  echo "$SENTINELS" | put "$DIRECTORY/etc/sentinels"
  for name in redis-tierd redis-replica redis-sentinel redis-operator s3; do secret "$name"; done
  # What replicas and Sentinels may do, as the documentation of Redis lists it.
  {
    rights users.acl
    user replica +psync +replconf +ping
    user sentinel 'allchannels +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill +script|kill'
    user operator '+ping +info +config|set +config|rewrite'
  } | put "$DIRECTORY/etc/redis-users.acl"
  {
    rights sentinel-users.acl
    user sentinel allchannels +@all
  } | put "$DIRECTORY/etc/sentinel-users.acl"
}

scripts() {
  local script copy
  for script in "${BASH_SOURCE[0]%/*}"/*.sh; do
    copy="$DIRECTORY/scripts/${script##*/}"
    cp "$script" "$copy.new"
    mv "$copy.new" "$copy"
  done
}

destroy() {
  local child
  [[ -f "$marker" ]] || return 0
  # What was begun and failed is nobody's to stop.
  for child in "$DIRECTORY"/run/*.child; do
    [[ ! -f "$child" ]] || "${BASH_SOURCE[0]%/*}/process.sh" stop "$(basename "$child" .child)"
  done
  rm -rf "$DIRECTORY"
}

case "$1" in
  create | scripts | destroy) "$1" ;;
  *) die "usage: deployment.sh create|scripts|destroy" ;;
esac
