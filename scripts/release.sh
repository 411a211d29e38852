#!/usr/bin/env bash
# Runs goreleaser, which it builds from its Go module the first time, on .goreleaser.yaml.
#
#   scripts/release.sh --snapshot --skip=publish
set -euo pipefail
cd "$(dirname "$0")/.."
goreleaser=$("${GO:-go}" run ./test/packages/tool goreleaser)
# Whoever builds, with whatever umask, gets the same bytes.
umask 022
exec "$goreleaser" release --clean --parallelism 2 "$@"
