#!/usr/bin/env bash
# Runs every fuzz target of the repository for a time each, one after the other, and
# fails at the first that finds something: the input is then in its package's
# testdata/fuzz, and plain `go test` runs it from then on.
#
#   scripts/fuzz.sh 1m [NAME]     NAME: only targets whose folder and name match
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:?usage: scripts/fuzz.sh DURATION [NAME]}
only=${2:-.}

# A package's targets share one binary, which takes longer to build than to run for seconds.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
built=
grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | while IFS=: read -r file found; do
	target=${found#func } folder=${file%/*}
	[[ "$folder.$target" =~ $only ]] || continue
	if [[ "$folder" != "$built" ]]; then
		${GO:-go} test -c -fuzz . -o "$work/test" "$folder" </dev/null
		built=$folder
	fi
	echo "== $target in $folder"
	(cd "$folder" && "$work/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$duration" -test.fuzzcachedir "$work/cache" </dev/null)
done
