#!/usr/bin/env bash
# Sees to it that the programs of other people which the tests drive are installed, pinned, below the target folder: those in Python in a
# virtual environment, those in JavaScript in a folder of their own.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}

wanted=tests/sdk/requirements.txt
venv=$target/sdk-venv
if ! cmp -s "$wanted" "$venv/installed.txt" || ! "$venv/bin/python" -c 'import pywa, aics_witness, moto' 2>/dev/null; then
    scripts/ensure-python.sh
    echo "installing the programs of other people that the tests drive: Python"
    rm -rf "$venv"
    python3 -m venv "$venv"
    # The verifier of transparency logs asks for Python 3.12 and runs with 3.11, which is Debian's.
    "$venv/bin/python" -m pip install --quiet --no-deps --ignore-requires-python --requirement "$wanted"
    cp "$wanted" "$venv/installed.txt"
fi

scripts/ensure-node.sh
wanted=tests/sdk/package-lock.json
folder=$target/sdk-node
if ! cmp -s "$wanted" "$folder/installed.json"; then
    echo "installing the programs of other people that the tests drive: JavaScript"
    rm -rf "$folder"
    mkdir -p "$folder"
    cp tests/sdk/package.json "$wanted" "$folder"
    # What is installed is data until a test runs it: no scripts of packages. The SDK names a newer Node than Debian's and runs with it.
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
    cp "$wanted" "$folder/installed.json"
fi
