# pgbouncer.sh: a PgBouncer of our own in transaction mode, in front of the scratch server.  Sourced
# after cluster.sh.

# pgbouncer_start USER ...: listens on a socket in PGBOUNCER_DIR, port 6432, for these users; four
# server connections, or PGBOUNCER_POOL, for each of them.
pgbouncer_start() {
    local i
    PGBOUNCER_DIR=$(mktemp -d /tmp/admin_ext.pooler.XXXXXX)
    export PGBOUNCER_DIR
    cat >"$PGBOUNCER_DIR/pgbouncer.ini" <<INI
[databases]
* = host=$SCRATCH port=5432
[pgbouncer]
listen_addr =
unix_socket_dir = $PGBOUNCER_DIR
listen_port = 6432
auth_type = trust
auth_file = $PGBOUNCER_DIR/users
pool_mode = transaction
default_pool_size = ${PGBOUNCER_POOL:-4}
max_client_conn = 200
logfile = $PGBOUNCER_DIR/log
pidfile = $PGBOUNCER_DIR/pid
INI
    printf '"%s" ""\n' "$@" >"$PGBOUNCER_DIR/users"
    [ "$(id -u)" != 0 ] || chown -R postgres "$PGBOUNCER_DIR"
    chmod 755 "$PGBOUNCER_DIR"
    # As a daemon: who starts it for another user would stand still with it when a test makes it.
    as_server_user pgbouncer -q -d "$PGBOUNCER_DIR/pgbouncer.ini" >"$PGBOUNCER_DIR/start" 2>&1
    for ((i = 0; i < 100; i++)); do
        [ ! -S "$PGBOUNCER_DIR/.s.PGSQL.6432" ] || return 0
        read -rt 0.1 <> <(:) || true
    done
    cat "$PGBOUNCER_DIR/start" "$PGBOUNCER_DIR/log"
    return 1
}

pgbouncer_stop() {
    [ -n "${PGBOUNCER_DIR:-}" ] || return 0
    [ ! -f "$PGBOUNCER_DIR/pid" ] || kill "$(cat "$PGBOUNCER_DIR/pid")" 2>/dev/null
    rm -rf "$PGBOUNCER_DIR"
    PGBOUNCER_DIR=
}
