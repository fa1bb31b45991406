# registry.sh: a real Apicurio Registry of our own on loopback, which speaks Confluent's API.  Sourced.
#
# It comes from Maven Central and is kept in .cache; its store is in memory.  It is ended by its pid.

. test/lib/certificates.sh
REGISTRY_VERSION=${REGISTRY_VERSION:-3.0.9}

# The registry, downloaded once.
registry_fetch() {
    REGISTRY_HOME=$PWD/.cache/registry-$REGISTRY_VERSION
    [ ! -f "$REGISTRY_HOME/complete" ] || return 0
    echo "# fetching Apicurio Registry $REGISTRY_VERSION"
    mkdir -p "$REGISTRY_HOME"
    # With its dependencies inside: those that its pom names are not all to be had.
    (cd "$REGISTRY_HOME" &&
        timeout 600 mvn -B -q dependency:copy -Dartifact="io.apicurio:apicurio-registry-app:$REGISTRY_VERSION:tar.gz:all" -DoutputDirectory=. &&
        tar xzf ./*-all.tar.gz && rm ./*-all.tar.gz && touch complete)
}

# Makes REGISTRY_DIR with a script that starts it; REGISTRY_HTTP and REGISTRY_HTTPS are where it will
# listen.  The script takes properties as -Dname=value, and leaves its pid beside itself.
registry_init() {
    local port secure_port
    REGISTRY_DIR=$(mktemp -d /tmp/admin_ext.registry.XXXXXX)
    read -r port secure_port < <(free_ports 2)
    REGISTRY_HTTP=http://127.0.0.1:$port/apis/ccompat/v7 REGISTRY_HTTPS=https://127.0.0.1:$secure_port/apis/ccompat/v7
    certificates_make "$REGISTRY_DIR/certificates" || return 1
    chmod 755 "$REGISTRY_DIR"
    cat >"$REGISTRY_DIR/start" <<SCRIPT
#!/bin/sh
cd '$REGISTRY_HOME' || exit 1
echo \$\$ >'$REGISTRY_DIR/pid'
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \\
    -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port=$port -Dquarkus.http.ssl-port=$secure_port \\
    -Dquarkus.http.ssl.certificate.files='$REGISTRY_DIR/certificates/server.crt' \\
    -Dquarkus.http.ssl.certificate.key-files='$REGISTRY_DIR/certificates/server.key' \\
    "\$@" -cp 'apicurio-registry-app-$REGISTRY_VERSION-runner.jar:lib/*' io.quarkus.runner.GeneratedMain
SCRIPT
    chmod +x "$REGISTRY_DIR/start"
    export REGISTRY_DIR REGISTRY_HTTP REGISTRY_HTTPS
}

# Ends it, if a test has left it running.
registry_stop() {
    [ -n "${REGISTRY_DIR:-}" ] || return 0
    [ ! -f "$REGISTRY_DIR/pid" ] || kill -KILL "$(cat "$REGISTRY_DIR/pid")" 2>/dev/null
    rm -rf "$REGISTRY_DIR"
    REGISTRY_DIR=
}
