#!/usr/bin/env bash
# Runs every fuzz target of the repository for a time each, one after the other, and
# fails at the first that finds something: the input is then in its package's
# testdata/fuzz, and plain `go test` runs it from then on.
#
#   scripts/fuzz.sh 1m
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:?usage: scripts/fuzz.sh DURATION}

grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | while IFS=: read -r file found; do
	target=${found#func }
	echo "== $target in ${file%/*}"
	${GO:-go} test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "${file%/*}" </dev/null
done
