#!/usr/bin/env bash
# Installs what is missing through the package manager of this machine:
#   install-packages.sh WHAT "PACKAGES OF APT" "PACKAGES OF DNF" "PACKAGES OF BREW"
set -euo pipefail
what=$1
read -ra apt <<<"$2"
read -ra dnf <<<"$3"
read -ra brew <<<"$4"

root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo)
fi
echo "installing what is missing: $what"
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    ${root[@]+"${root[@]}"} apt-get update -qq
    ${root[@]+"${root[@]}"} apt-get install -y -qq --no-install-recommends "${apt[@]}" >/dev/null
elif command -v dnf >/dev/null; then
    ${root[@]+"${root[@]}"} dnf install -y -q "${dnf[@]}"
elif command -v brew >/dev/null; then
    brew install --quiet "${brew[@]}"
else
    echo "do not know how to install $what here; please install it, then try again" >&2
    exit 1
fi
