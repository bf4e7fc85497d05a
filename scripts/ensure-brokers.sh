#!/usr/bin/env bash
# Sees to it that the programs of a NATS server and of RabbitMQ are on this machine; installs what is missing.
# They are needed as programs only: the tests start their own, and no system-wide server is set up or started.
set -euo pipefail

has_rabbitmq() { command -v rabbitmq-server >/dev/null || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || [ -x /usr/sbin/rabbitmq-server ]; }

missing=()
command -v nats-server >/dev/null || [ -x /usr/sbin/nats-server ] || missing+=(nats-server)
has_rabbitmq || missing+=(rabbitmq-server)
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
echo "installing what is missing: ${missing[*]}"

root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo)
fi
as_root() {
    if [ ${#root[@]} -gt 0 ] && ! command -v sudo >/dev/null; then
        echo "cannot install ${missing[*]}: neither root nor sudo. Please install it, then try again:" >&2
        echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    "${root[@]+"${root[@]}"}" "$@"
}

with_apt() {
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    # The packages would start their servers; they ask this file first. Taken away afterwards, unless it was there before.
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e "$policy" ]; then
        as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
        ours=yes
    fi
    local status=0
    as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || status=$?
    [ -z "$ours" ] || as_root rm -f "$policy"
    return "$status"
}

if command -v apt-get >/dev/null; then
    with_apt
elif command -v brew >/dev/null; then
    brew install --quiet "${missing[@]/rabbitmq-server/rabbitmq}"
else
    echo "do not know how to install ${missing[*]} here; please install it, then try again" >&2
    exit 1
fi
