#!/usr/bin/env bash
# Sees to it that the programs of other people which the tests drive are installed, pinned, in a virtual environment below the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=tests/sdk/requirements.txt
venv=${CARGO_TARGET_DIR:-target}/sdk-venv
if cmp -s "$wanted" "$venv/installed.txt" && "$venv/bin/python" -c 'import pywa, aics_witness' 2>/dev/null; then
    exit 0
fi

scripts/ensure-python.sh
echo "installing the programs of other people that the tests drive"
rm -rf "$venv"
python3 -m venv "$venv"
# The verifier of transparency logs asks for Python 3.12 and runs with 3.11, which is Debian's.
"$venv/bin/python" -m pip install --quiet --no-deps --ignore-requires-python --requirement "$wanted"
cp "$wanted" "$venv/installed.txt"
