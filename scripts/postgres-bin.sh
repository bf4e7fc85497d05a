#!/usr/bin/env bash
# Prints the folder with the programs of a Postgres server: the newest there is. Fails when there is none.
set -euo pipefail
shopt -s nullglob

has_server() { [ -x "$1/initdb" ] && [ -x "$1/postgres" ]; }

# What is on PATH may be a link to the programs proper, which have their companions beside them.
if on_path=$(command -v initdb) && real=$(dirname "$(readlink -f "$on_path")") && has_server "$real"; then
    echo "$real"
    exit
fi
folders=(/usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin)
for folder in $(printf '%s\n' "${folders[@]:-/nowhere}" | sort -rV); do
    if has_server "$folder"; then
        echo "$folder"
        exit
    fi
done
if folder=$(pg_config --bindir 2>/dev/null) && has_server "$folder"; then
    echo "$folder"
    exit
fi
exit 1
