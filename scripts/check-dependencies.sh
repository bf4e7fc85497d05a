#!/usr/bin/env bash
# Looks at the dependencies: licences, banned crates and sources with cargo-deny, known holes with cargo-audit.
# Says what it leaves out. ADVISORY_DB is a checkout of the RustSec advisory database.
set -euo pipefail
cd "$(dirname "$0")/.."
database=${ADVISORY_DB:-../shared/advisory-db}

if cargo deny --version >/dev/null 2>&1; then
    cargo deny check bans licenses sources
else
    echo "skipped: cargo-deny is not installed (cargo install cargo-deny)"
fi

if ! cargo audit --version >/dev/null 2>&1; then
    echo "skipped: cargo-audit is not installed (cargo install cargo-audit)"
elif [ ! -d "$database/crates" ]; then
    echo "skipped: no advisory database at $database (set ADVISORY_DB)"
else
    cargo audit --db "$database" --no-fetch
fi
