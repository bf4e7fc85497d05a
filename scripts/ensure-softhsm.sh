#!/usr/bin/env bash
# Sees to it that SoftHSM is on this machine, a PKCS#11 token without the hardware. Where it is not to be had, its test says that nothing was tested.
set -euo pipefail

if command -v softhsm2-util >/dev/null; then
    exit 0
fi
"$(dirname "$0")/install-packages.sh" "SoftHSM" "softhsm2" "softhsm" "softhsm" ||
    echo "SoftHSM is not to be had here: PKCS#11 will not be tested"
