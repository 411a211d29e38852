#!/bin/sh
# Copies an image with all its platforms: SOURCE, a reference or the path of an OCI layout, to TARGET, with the first of crane, skopeo and
# docker that is there (or COPY_WITH). Logs in to TARGET's registry with TARGET_USER and TARGET_PASS, in a folder of its own that is removed
# afterwards, so nothing stays behind; credentials for SOURCE are those that the user has.
set -eu
: "${SOURCE:?}" "${TARGET:?}" "${TARGET_USER:?}" "${TARGET_PASS:?}"

tool=${COPY_WITH:-}
for candidate in crane skopeo docker; do
  if [ -z "$tool" ] && command -v "$candidate" >/dev/null 2>&1; then tool=$candidate; fi
done
if [ -z "$tool" ]; then
  echo "crane, skopeo or docker is needed to copy $SOURCE to $TARGET: install one of them, and apply again" >&2
  exit 1
fi

login=$(mktemp -d)
trap 'rm -rf "$login"' EXIT
trap 'exit 1' HUP INT TERM
mine=${DOCKER_CONFIG:-${HOME:-/nonexistent}/.docker}
if [ -f "$mine/config.json" ]; then cp "$mine/config.json" "$login/config.json"; fi
for part in cli-plugins contexts; do
  if [ -d "$mine/$part" ]; then ln -s "$mine/$part" "$login/$part"; fi
done
export DOCKER_CONFIG="$login" REGISTRY_AUTH_FILE="$login/config.json"
host=${TARGET%%/*}

case $SOURCE in
/* | .*) layout=yes ;;
*) layout=no ;;
esac

case $tool-$layout in
crane-*) printf %s "$TARGET_PASS" | crane auth login "$host" --username "$TARGET_USER" --password-stdin ;;
skopeo-*) printf %s "$TARGET_PASS" | skopeo login "$host" --username "$TARGET_USER" --password-stdin ;;
docker-*) printf %s "$TARGET_PASS" | docker login "$host" --username "$TARGET_USER" --password-stdin ;;
esac

case $tool-$layout in
crane-no) crane copy "$SOURCE" "$TARGET" ;;
crane-yes) crane push "$SOURCE" "$TARGET" ;;
skopeo-no) skopeo copy --all "docker://$SOURCE" "docker://$TARGET" ;;
skopeo-yes) skopeo copy --all "oci:$SOURCE" "docker://$TARGET" ;;
docker-no) docker buildx imagetools create --tag "$TARGET" "$SOURCE" ;;
docker-yes)
  echo "docker cannot push the OCI layout $SOURCE: install crane or skopeo, or push the image yourself and name its reference" >&2
  exit 1
  ;;
*)
  echo "COPY_WITH is $tool, which is none of crane, skopeo and docker" >&2
  exit 1
  ;;
esac
