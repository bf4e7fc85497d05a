#!/usr/bin/env bash
# Makes .sqlx anew: what the compiler needs to know of each query when no database is in reach.
# Starts a throw-away Postgres by itself, since `waxseal dev postgres` cannot be built while .sqlx is out of date.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(scripts/postgres-bin.sh) || { echo "no Postgres server found; run scripts/ensure-postgres.sh" >&2; exit 1; }
folder=$(mktemp -d /tmp/waxseal-sqlx.XXXXXX)
as_owner=()
if [ "$(id -u)" -eq 0 ]; then # Postgres refuses to run as root
    owner=$(id -un postgres 2>/dev/null || echo nobody)
    chown "$owner" "$folder"
    as_owner=(setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups)
fi

stop() {
    status=$?
    "${as_owner[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$folder"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM

echo "starting a throw-away Postgres ($("$bin/postgres" --version))"
# Without a password: the socket is in a folder that its owner alone may enter.
(cd "$folder" && "${as_owner[@]}" "$bin/initdb" -D "$folder/data" -U waxseal -A trust -E UTF8 --locale=C --no-sync >/dev/null)
(cd "$folder" && "${as_owner[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/log" \
    -o "-c listen_addresses= -c unix_socket_directories=$folder -c fsync=off" start >/dev/null) ||
    { cat "$folder/log" >&2; exit 1; }

psql=("$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$folder" -U waxseal -d postgres)
"${psql[@]}" -c 'CREATE SCHEMA IF NOT EXISTS waxseal_keys'
# What sqlx itself would have made: a query of ours counts its rows.
"${psql[@]}" -c 'CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL)'
"${psql[@]}" -c 'CREATE TABLE waxseal_keys._sqlx_migrations (LIKE _sqlx_migrations)'
for migration in migrations/keys/*.sql migrations/data/*.sql; do
    echo "applying $migration"
    "${psql[@]}" -f "$migration"
done

echo "asking it about every query"
mkdir -p target
fresh=$PWD/target/sqlx-fresh
rm -rf "$fresh"
mkdir "$fresh"
touch src/lib.rs
DATABASE_URL="postgres://waxseal@${folder//\//%2F}/postgres" SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$fresh \
    cargo check --quiet --all-targets --all-features
rm -rf .sqlx
mv "$fresh" .sqlx
echo "wrote $(find .sqlx -name '*.json' | wc -l | tr -d ' ') queries to .sqlx"
