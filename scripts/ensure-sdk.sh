#!/usr/bin/env bash
# Sees to it that the programs of other people which the tests drive are installed, pinned, in a virtual environment below the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=tests/sdk/requirements.txt
venv=${CARGO_TARGET_DIR:-target}/sdk-venv
if cmp -s "$wanted" "$venv/installed.txt" && "$venv/bin/python" -c 'import pywa, aics_witness' 2>/dev/null; then
    exit 0
fi

# Debian ships python3 without what makes virtual environments.
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
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
fi

echo "installing the programs of other people that the tests drive"
rm -rf "$venv"
python3 -m venv "$venv"
# The verifier of transparency logs asks for Python 3.12 and runs with 3.11, which is Debian's.
"$venv/bin/python" -m pip install --quiet --no-deps --ignore-requires-python --requirement "$wanted"
cp "$wanted" "$venv/installed.txt"
