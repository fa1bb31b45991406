# redis.sh: a real Redis of our own on loopback and on a unix socket.  Sourced.
#
# Its data, certificates and users live in a temporary directory; it is ended by its pid, which
# the script that starts it leaves there, so that a test can kill it and start it again.

. test/lib/certificates.sh
. test/lib/python.sh

# The clients that the tests listen and ask with: PYTHON.
redis_python_fetch() {
    python_with 'psycopg2, redis' psycopg2-binary==2.9.10 redis==8.1.0
}

# Makes REDIS_DIR with a script that starts it, and takes more lines of its configuration as
# --name value.  REDIS_PORT, REDIS_TLS_PORT and REDIS_SOCKET are where it will listen: by TLS on
# 127.0.0.2, too, which is not in its certificate.  What it was told survives whatever happens to it.
redis_init() {
    REDIS_DIR=$(mktemp -d "${TMPDIR:-/tmp}"/admin_ext.redis.XXXXXX)
    read -r REDIS_PORT REDIS_TLS_PORT < <(free_ports 2)
    REDIS_SOCKET=$REDIS_DIR/redis.sock
    chmod 755 "$REDIS_DIR"
    certificates_make "$REDIS_DIR/certificates" || return 1
    touch "$REDIS_DIR/users.acl" "$REDIS_DIR/redis.log"
    cat >"$REDIS_DIR/redis.conf" <<CONFIGURATION
bind 127.0.0.1 127.0.0.2
port $REDIS_PORT
tls-port $REDIS_TLS_PORT
tls-cert-file $REDIS_DIR/certificates/server.crt
tls-key-file $REDIS_DIR/certificates/server.key
tls-ca-cert-file $REDIS_DIR/certificates/ca.crt
tls-auth-clients optional
unixsocket $REDIS_SOCKET
unixsocketperm 777
aclfile $REDIS_DIR/users.acl
dir $REDIS_DIR
appendonly yes
appendfsync always
save ""
enable-debug-command local
CONFIGURATION
    cat >"$REDIS_DIR/start" <<SCRIPT
#!/bin/sh
echo \$\$ >'$REDIS_DIR/pid'
exec redis-server '$REDIS_DIR/redis.conf' "\$@" >>'$REDIS_DIR/redis.log' 2>&1
SCRIPT
    chmod +x "$REDIS_DIR/start"
    export REDIS_DIR REDIS_PORT REDIS_TLS_PORT REDIS_SOCKET
}

# Starts it and waits, ten seconds at most, until it answers.
redis_start() {
    local i
    "$REDIS_DIR/start" &
    for ((i = 0; i < 100; i++)); do
        [ "$(redis-cli -p "$REDIS_PORT" ping 2>/dev/null)" != PONG ] || return 0
        read -rt 0.1 <> <(:) || true
    done
    tail -n 20 "$REDIS_DIR/redis.log" | sed 's/^/# /'
    return 1
}

# Ends it, if a test has left it running.
redis_stop() {
    [ -n "${REDIS_DIR:-}" ] || return 0
    # Bash says of a job that it was killed, unless its standard error is elsewhere meanwhile.
    if [ -f "$REDIS_DIR/pid" ]; then
        kill -KILL "$(cat "$REDIS_DIR/pid")"
        wait "$(cat "$REDIS_DIR/pid")"
    fi 2>/dev/null
    rm -rf "$REDIS_DIR"
    REDIS_DIR=
}
