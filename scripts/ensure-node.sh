#!/usr/bin/env bash
# Sees to it that node and npm are there.
set -euo pipefail

if command -v node >/dev/null && command -v npm >/dev/null; then
    exit 0
fi
root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo)
fi
echo "installing what is missing: node and npm"
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    ${root[@]+"${root[@]}"} apt-get update -qq
    ${root[@]+"${root[@]}"} apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
elif command -v dnf >/dev/null; then
    ${root[@]+"${root[@]}"} dnf install -y -q nodejs npm
elif command -v brew >/dev/null; then
    brew install --quiet node
else
    echo "do not know how to install node here; please install it, then try again" >&2
    exit 1
fi
