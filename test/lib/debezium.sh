# debezium.sh: Debezium's PostgreSQL connector and Kafka Connect, as benchmarks run them.  Sourced.
#
# Their jars come from Maven Central and are kept in .cache.  Needs kafka.sh.

DEBEZIUM_VERSION=${DEBEZIUM_VERSION:-3.6.3.Final}

# DEBEZIUM_LIBS: Connect's class path; DEBEZIUM_PLUGINS: its plugin path.  Downloaded once.
debezium_fetch() {
    local cache=$PWD/.cache/debezium-$DEBEZIUM_VERSION
    DEBEZIUM_LIBS=$cache/connect/libs DEBEZIUM_PLUGINS=$cache/plugins
    [ ! -f "$cache/complete" ] || return 0
    echo "# fetching Debezium $DEBEZIUM_VERSION"
    maven_jars "$cache/connect" "org.apache.kafka:connect-runtime:$KAFKA_VERSION" org.slf4j:slf4j-simple:1.7.36 || return 1
    maven_jars "$DEBEZIUM_PLUGINS/postgres" "io.debezium:debezium-connector-postgres:$DEBEZIUM_VERSION" || return 1
    # Connect brings these itself, in the versions that belong together.
    rm -f "$DEBEZIUM_PLUGINS"/postgres/libs/{kafka-clients,connect-api,lz4-java,snappy-java,zstd-jni,slf4j-api}-*.jar
    touch "$cache/complete"
}

# Ends what a benchmark that was interrupted has left: it writes down whom it starts.
# Needs cluster.sh, and comes before cluster_stop.
debezium_stop() {
    local file pid
    for file in "${SCRATCH:-/nonexistent}"/*.pid; do
        [ -f "$file" ] || continue
        pid=$(<"$file")
        kill -CONT "$pid" 2>/dev/null && kill "$pid" 2>/dev/null || true
    done
    [ ! -f "${SCRATCH:-/nonexistent}/logical/postmaster.pid" ] ||
        (cd "$SCRATCH" && as_server_user "$PGBINDIR/pg_ctl" -D "$SCRATCH/logical" -m immediate -w -t 60 stop) >/dev/null || true
}
