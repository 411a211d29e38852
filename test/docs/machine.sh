#!/usr/bin/env bash
# Makes a machine of the namespaces it is started in, and runs a command there: a network
# of one host, 192.0.2.10; an /etc that may be written; an empty /srv; and settings that
# have Terraform keep its state below /srv, so that a deployment which somebody has made
# in the repository is not touched.
#
# Usage: machine.sh COMMAND...   (see run.sh)
set -euo pipefail

hostname machine
ip link set lo up
ip link add eth0 type veth peer name eth1
ip address add 192.0.2.10/24 dev eth0
ip link set eth1 up
ip link set eth0 up
ip route add default via 192.0.2.1

mount -t tmpfs -o mode=0755 tmpfs /srv
mkdir /srv/etc /srv/home
# What this user may not read, no page needs.
cp -a /etc/. /srv/etc/ 2>/dev/null || true
mount --bind /srv/etc /etc
echo machine >/etc/hostname
printf '127.0.0.1 localhost\n192.0.2.10 machine\n' >/etc/hosts

export HOME=/srv/home TERM=dumb
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_INPUT=0 TF_DATA_DIR=/srv/terraform TF_CLI_CONFIG_FILE=/dev/null
state="-state=/srv/deployment.tfstate"
export TF_CLI_ARGS_apply="-no-color $state" TF_CLI_ARGS_destroy="-no-color $state" TF_CLI_ARGS_output="-no-color $state"
TF_VAR_tierd_binary="$(command -v tierd)"
export TF_VAR_directory=/srv/tierd TF_VAR_tierd_binary
# Not exec: this shell is the first process of the machine, and collects those whose parents end.
"$@"
