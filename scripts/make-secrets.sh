#!/usr/bin/env bash
# Makes what compose.yaml needs and nobody should invent: ./secrets (owner-only), ./state, ./state-2 and ./state-3 for the places of the epoch
# cell, ./media for files, and .env with the user the container runs as. What exists is kept. Losing secrets/kms_secret means losing every
# message: back it up, apart from the database. The epoch cell belongs in no backup; it has three places, of which two are needed.
#
# With a rootless container engine, user 0 inside is you: set WAXSEAL_UID=0 and WAXSEAL_GID=0 for this script.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077

noted() { [ ! -e .env ] || sed -n "s/^$1=//p" .env | tail -n 1; }
uid=${WAXSEAL_UID:-$(noted WAXSEAL_UID)}
gid=${WAXSEAL_GID:-$(noted WAXSEAL_GID)}
if [ -z "$uid" ] || [ -z "$gid" ]; then
    uid=$(id -u)
    gid=$(id -g)
    if [ "$uid" -eq 0 ]; then # the container needs no root: take the image's own number
        uid=10001
        gid=10001
    fi
fi

random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
keep() { # keep FILE TEXT: writes the file unless it is there; whole or not at all
    if [ -e "$1" ]; then
        echo "kept $1"
        return
    fi
    printf '%s\n' "$2" >"$1.new"
    mv "$1.new" "$1"
    echo "made $1"
}

mkdir -p secrets state state-2 state-3 media
chmod 700 secrets state state-2 state-3 media
keep secrets/database_password "$(random 24)"
keep secrets/database_url "postgres://waxseal:$(cat secrets/database_password)@postgres:5432/waxseal"
# The two make the root of the key tree together: a new cell beside an old secret opens nothing.
if [ -e secrets/kms_secret ] && [ ! -e state/epoch-cell ]; then
    echo "state/epoch-cell is gone, and what was sealed under it cannot be opened without it: put it back" >&2
    exit 1
fi
keep state/epoch-cell "$(random 32)"
keep secrets/kms_secret "$(random 32)"
if [ "$(noted WAXSEAL_UID):$(noted WAXSEAL_GID)" != "$uid:$gid" ]; then
    printf 'WAXSEAL_UID=%s\nWAXSEAL_GID=%s\n' "$uid" "$gid" >>.env
    echo "noted the container's user in .env"
fi

if [ "$(id -u)" -eq 0 ] && [ "$uid" -ne 0 ]; then
    chown -R "$uid:$gid" secrets state state-2 state-3 media
fi
echo "container user: $uid:$gid"
