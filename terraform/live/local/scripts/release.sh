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
# For people, the scripts here and the frontends: tierd with the settings of the deployment.
put "$DIRECTORY/tierd" <<'END'
#!/usr/bin/env bash
# tierd with the settings of this deployment: tierd shard list, tierd backup status, ...
set -euo pipefail
directory="$(dirname "$(realpath "$0")")"
while IFS= read -r setting; do
  [[ -z "$setting" ]] || export "${setting?}"
done <"$directory/etc/settings"
AWS_SECRET_ACCESS_KEY="$(cat "$directory/secrets/s3")"
export AWS_SECRET_ACCESS_KEY
exec "$directory/bin/tierd" "$@"
END
chmod 700 "$DIRECTORY/tierd"
# The name of this release, which a frontend notes when it starts.
{ echo "$hash"; printf '%s\n' "$SETTINGS"; } | sha256sum | cut -d' ' -f1 | put "$DIRECTORY/etc/release"
