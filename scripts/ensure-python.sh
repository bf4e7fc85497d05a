#!/usr/bin/env bash
# Sees to it that python3 can make virtual environments.
set -euo pipefail

# Debian ships python3 without what makes them.
if python3 -c 'import ensurepip, venv' 2>/dev/null; then
    exit 0
fi
root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo)
fi
echo "installing what is missing: python3 with venv"
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    ${root[@]+"${root[@]}"} apt-get update -qq
    ${root[@]+"${root[@]}"} apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
elif command -v dnf >/dev/null; then
    ${root[@]+"${root[@]}"} dnf install -y -q python3
elif command -v brew >/dev/null; then
    brew install --quiet python@3.13
else
    echo "do not know how to install python3 with venv here; please install it, then try again" >&2
    exit 1
fi
