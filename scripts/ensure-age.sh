#!/usr/bin/env bash
# Sees to it that age, zstd and tar are there: a test opens a backup with them, and without us.
set -euo pipefail

if command -v age >/dev/null && command -v zstd >/dev/null && command -v tar >/dev/null; then
    exit 0
fi
exec "$(dirname "$0")/install-packages.sh" "age and zstd" "age zstd tar" "age zstd tar" "age zstd"
