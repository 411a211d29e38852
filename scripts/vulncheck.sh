#!/usr/bin/env bash
# Asks govulncheck whether tierd calls anything with a known vulnerability, and whether the modules of its
# binary have one. Ends with 0 if there is none, 3 if there is one, and 2, saying so, where it
# could not be found out: no answer is no good answer.
#
#   GOVULNDB=https://mirror.example scripts/vulncheck.sh
set -uo pipefail
cd "$(dirname "$0")/.."
version=v1.9.0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
if ! tool=$(command -v govulncheck); then
	GOBIN="$PWD/bin" GOFLAGS=-mod=mod "${GO:-go}" install "golang.org/x/vuln/cmd/govulncheck@$version" >"$out" 2>&1 || {
		cat "$out" >&2
		echo "vulncheck: UNKNOWN: govulncheck $version cannot be installed here." >&2
		exit 2
	}
	tool=$PWD/bin/govulncheck
fi
arguments=()
[[ -z "${GOVULNDB:-}" ]] || arguments=(-db "$GOVULNDB")
"$tool" "${arguments[@]}" ./cmd/... 2>&1 | tee "$out"
code=${PIPESTATUS[0]}
if grep -q 'fetching vulnerabilities' "$out"; then
	echo "vulncheck: UNKNOWN: the vulnerability database ${GOVULNDB:-https://vuln.go.dev} cannot be reached from here; GOVULNDB names another." >&2
	exit 2
fi
exit "$code"
