#!/usr/bin/env bash
# Sees to it that SoftHSM is on this machine, a PKCS#11 token without the hardware. Where it is not to be had, its test fails unless
# WAXSEAL_TEST_WITHOUT_SOFTHSM is set.
set -euo pipefail

if command -v softhsm2-util >/dev/null; then
    exit 0
fi
"$(dirname "$0")/install-packages.sh" "SoftHSM" "softhsm2" "softhsm" "softhsm" ||
    echo "SoftHSM is not to be had here: the test of PKCS#11 fails, unless WAXSEAL_TEST_WITHOUT_SOFTHSM says that it may be missing"
