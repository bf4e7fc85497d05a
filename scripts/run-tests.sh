#!/usr/bin/env bash
# Runs cargo test with the given arguments and ends with what was counted; what failed is told once more below everything else,
# where whoever reads the end of a long log finds it.
set -uo pipefail

log=$(mktemp "${TMPDIR:-/tmp}/waxseal-test.XXXXXX")
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

[ -t 1 ] && export CARGO_TERM_COLOR=always # tee is no terminal
cargo test "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

if [ "$status" -ne 0 ]; then
    printf '\n== what failed\n'
    # Of a test binary: the part between its two lists. Of the ledger: its complaints. Else: what panicked, and the compiler's errors.
    awk '/^failures:$/ { told = !told } told' "$log" | head -n 400
    grep -E '^(BROKEN|ledger): |panicked at|^error' "$log" | sort -u | head -n 60
fi
awk '/^test result: / { passed += $4; failed += $6; ignored += $8; files++ }
     END { printf "\n== %d passed, %d failed, %d ignored, in %d test programs\n", passed, failed, ignored, files }' "$log"
exit "$status"
