#!/usr/bin/env bash
# Sees to it that the programs of a Postgres server and a C compiler are on this machine; installs what is missing.
# The server is needed as a program only: no system-wide server is set up or started.
set -euo pipefail
here=$(dirname "$0")

missing=()
"$here/postgres-bin.sh" >/dev/null || missing+=(postgres)
command -v cc >/dev/null || missing+=(compiler) # the cryptography library is built from C
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
wants() { [[ " ${missing[*]} " == *" $1 "* ]]; }

root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo)
fi
as_root() {
    if [ ${#root[@]} -gt 0 ] && ! command -v sudo >/dev/null; then
        echo "cannot install ${missing[*]}: neither root nor sudo. Please install it, then try again." >&2
        exit 1
    fi
    "${root[@]}" "$@"
}

with_apt() {
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    if wants compiler; then
        as_root apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null
    fi
    if wants postgres; then
        as_root apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null
        # The package would make a server and start it; it asks this file first. Put back afterwards.
        local settings=/etc/postgresql-common/createcluster.conf
        as_root cp -p "$settings" "$settings.waxseal"
        as_root sh -c "echo 'create_main_cluster = false' >>$settings"
        local status=0
        as_root apt-get install -y -qq --no-install-recommends postgresql >/dev/null || status=$?
        as_root mv "$settings.waxseal" "$settings"
        return "$status"
    fi
}

with_dnf() {
    ! wants compiler || as_root dnf install -y -q gcc
    ! wants postgres || as_root dnf install -y -q postgresql-server
}

with_brew() {
    if wants compiler; then
        echo "a C compiler is missing: run 'xcode-select --install', then try again" >&2
        exit 1
    fi
    brew install --quiet postgresql@17
}

echo "installing what is missing: ${missing[*]}"
if command -v apt-get >/dev/null; then
    with_apt
elif command -v dnf >/dev/null; then
    with_dnf
elif command -v brew >/dev/null; then
    with_brew
else
    echo "do not know how to install ${missing[*]} here; please install it, then try again" >&2
    exit 1
fi
"$here/postgres-bin.sh" >/dev/null || { echo "Postgres was installed, but its programs are not where they usually are" >&2; exit 1; }
