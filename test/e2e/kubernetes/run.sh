#!/usr/bin/env bash
# Runs the Kubernetes end-to-end test on tierd and prints a summary: one line for
# each check, in both modes of the API server. Builds what is missing first.
#
# Usage: run.sh
# Environment: see the package documentation (doc.go) and build.sh; and
#   TIERD_TEST_BINARY   a tierd to test instead of one built from this tree
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly here
readonly time_limit=10m

TIERD_KUBERNETES_BIN="$("$here/build.sh")"
export TIERD_KUBERNETES_BIN

output="$(mktemp)"
readonly output
trap 'rm -f "$output"' EXIT

status=0
(cd "$here" && go test -tags e2e -count=1 -timeout "$time_limit" -v -run TestKubernetes .) 2>&1 | tee "$output" || status=$?

printf '\nKubernetes on %s:\n' "${ENDPOINT_KIND:-tierd}"
sed -nE 's#^ *--- (PASS|FAIL|SKIP): TestKubernetes/([^ ]+) \((.*)\)$#\1 \2 \3#p' "$output" |
  awk '{ printf "  %-5s %-45s %8s\n", $1, $2, $3 }'
if ((status == 0)); then echo "PASS"; else echo "FAIL"; fi
exit "$status"
