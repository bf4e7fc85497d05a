#!/usr/bin/env bash
# Sees to it that python3 can make virtual environments.
set -euo pipefail

# Debian ships python3 without what makes them.
if python3 -c 'import ensurepip, venv' 2>/dev/null; then
    exit 0
fi
exec "$(dirname "$0")/install-packages.sh" "python3 with venv" "python3 python3-venv" "python3" "python@3.13"
