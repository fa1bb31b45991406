# cluster.sh: a scratch PostgreSQL cluster of our own, for any pg_config.
#
# Sourced, not run.  The cluster lives in a temporary directory, listens on a unix
# socket inside it and nowhere else, and is stopped by its own data directory, so
# that no other server is ever touched.  PostgreSQL refuses to run as root; where
# we are root, the server and its tools run as user postgres.

: "${PG_CONFIG:=pg_config}"
PGBINDIR=$("$PG_CONFIG" --bindir)

# Whoever has more to clean up sets a trap of its own after this, and calls cluster_stop in it.
trap cluster_stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

as_server_user() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

# cluster_start [line of postgresql.conf ...]; SERVER_ENVIRONMENT: NAME=VALUE ... for the server
cluster_start() {
    SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}"/admin_ext.XXXXXX)
    [ "$(id -u)" != 0 ] || chown postgres "$SCRATCH"
    chmod 755 "$SCRATCH"
    cd "$SCRATCH"
    as_server_user "$PGBINDIR/initdb" -D "$SCRATCH/data" -U postgres -A trust -E UTF8 \
        --no-locale -N >"$SCRATCH/initdb.log"
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$SCRATCH'"
        echo "fsync = off"
        printf '%s\n' "$@"
    } >>"$SCRATCH/data/postgresql.conf"
    # shellcheck disable=SC2086
    as_server_user env ${SERVER_ENVIRONMENT:-} "$PGBINDIR/pg_ctl" -D "$SCRATCH/data" -l "$SCRATCH/server.log" -w -t 60 start \
        >"$SCRATCH/start.log" || { cat "$SCRATCH/server.log"; cd - >/dev/null; return 1; }
    cd - >/dev/null
    export PGHOST=$SCRATCH PGUSER=postgres PGDATABASE=postgres PGPORT=5432
    export PGTZ=UTC
}

cluster_stop() {
    [ -n "${SCRATCH:-}" ] || return 0
    if [ -f "$SCRATCH/data/postmaster.pid" ]; then
        (cd "$SCRATCH" && as_server_user "$PGBINDIR/pg_ctl" -D "$SCRATCH/data" -m fast -w -t 60 stop) >/dev/null || true
    fi
    rm -rf "$SCRATCH"
    SCRATCH=
}

# wait_until SQL: polls, ten seconds at most, for a query that says t.
wait_until() {
    local i
    for ((i = 0; i < 200; i++)); do
        [ "$(psql -XAt -c "$1")" != t ] || return 0
        psql -Xq -c 'select pg_sleep(0.05)' >/dev/null
    done
    return 1
}
