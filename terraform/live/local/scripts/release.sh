#!/usr/bin/env bash
# What frontends run, and with which settings. They take it when they start.
#
# Usage: DIRECTORY=... BINARY=... SETTINGS=... release.sh   (SETTINGS: NAME=VALUE lines)
source "${BASH_SOURCE[0]%/*}/lib.sh"

hash="$(sha256sum "$BINARY" | cut -d' ' -f1)"
program="$DIRECTORY/bin/tierd-${hash:0:16}"
if [[ ! -x "$program" ]]; then
  cp "$BINARY" "$program.new"
  chmod 755 "$program.new"
  mv "$program.new" "$program"
fi
printf '%s\n' "$SETTINGS" | put "$DIRECTORY/etc/settings"
ln -sfn "${program##*/}" "$DIRECTORY/bin/tierd.new"
mv -T "$DIRECTORY/bin/tierd.new" "$DIRECTORY/bin/tierd"
# The name of this release, which a frontend notes when it starts.
{ echo "$hash"; printf '%s\n' "$SETTINGS"; } | sha256sum | cut -d' ' -f1 | put "$DIRECTORY/etc/release"
