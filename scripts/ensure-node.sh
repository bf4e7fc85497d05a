#!/usr/bin/env bash
# Sees to it that node and npm are there.
set -euo pipefail

if command -v node >/dev/null && command -v npm >/dev/null; then
    exit 0
fi
exec "$(dirname "$0")/install-packages.sh" "node and npm" "nodejs npm" "nodejs npm" "node"
