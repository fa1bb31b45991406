# kafka.sh: a real Apache Kafka broker of our own (a KRaft node, or three) on loopback.  Sourced.
#
# Its jars come from Maven Central and are kept in .cache; its data live in a temporary
# directory.  It is ended by its pid.  Nodes that a test has started again are the test's to end.
#
# With KAFKA_SECURE=1 it also listens by SASL_SSL and by mutual TLS, and asks an authorizer;
# whoever comes by the plain listener may do everything.

. test/lib/certificates.sh
. test/lib/python.sh
export KAFKA_VERSION=${KAFKA_VERSION:-3.9.2}

# maven_jars FOLDER GROUP:ARTIFACT:VERSION ...: they and what they need, in libs of a folder.
maven_jars() {
    local folder=$1 each group artifact version
    shift
    mkdir -p "$folder"
    {
        echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        echo '<groupId>admin_ext</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
        for each in "$@"; do
            IFS=: read -r group artifact version <<<"$each"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$folder/pom.xml"
    (cd "$folder" && timeout 600 mvn -B -q dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=libs)
}

# The jars, downloaded once.
kafka_fetch() {
    local cache=$PWD/.cache/kafka-$KAFKA_VERSION
    KAFKA_LIBS=$cache/libs
    [ ! -f "$cache/complete" ] || return 0
    echo "# fetching Kafka $KAFKA_VERSION"
    maven_jars "$cache" "org.apache.kafka:kafka_2.13:$KAFKA_VERSION" org.slf4j:slf4j-simple:1.7.36 && touch "$cache/complete"
}

# A Python of our own with the client that the tests read with: PYTHON.
python_fetch() {
    python_with confluent_kafka.schema_registry.json_schema 'confluent-kafka[json,schemaregistry]==2.16.1'
}

# kafka_secure SASL_PORT MUTUAL_PORT: adds the secure listeners, KAFKA_SASL and KAFKA_MUTUAL, and what
# is needed to come in by them: the password of user app by PLAIN is in a file (a server's log may have
# its environment), those by SCRAM are an admin client's to set.
kafka_secure() {
    local certificates=$KAFKA_DIR/certificates password=plain-$RANDOM$RANDOM
    KAFKA_SASL=127.0.0.1:$1 KAFKA_MUTUAL=127.0.0.1:$2
    echo "$password" >"$KAFKA_DIR/password"
    certificates_make "$certificates" || return 1
    chmod 755 "$KAFKA_DIR"
    sed -i -E "s#^((advertised\.)?listeners=.*)#\1,SASL_SSL://$KAFKA_SASL,SSL://$KAFKA_MUTUAL#
        s#^(listener.security.protocol.map=.*)#\1,SASL_SSL:SASL_SSL,SSL:SSL#" "$KAFKA_DIR/server.properties"
    cat >>"$KAFKA_DIR/server.properties" <<PROPERTIES
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location=$certificates/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$certificates/ca.crt
listener.name.ssl.ssl.client.auth=required
listener.name.ssl.ssl.principal.mapping.rules=RULE:^CN=([^,]+).*\$/\$1/,DEFAULT
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_app="$password";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
PROPERTIES
    export KAFKA_SASL KAFKA_MUTUAL
}

# kafka_node DIRECTORY ID PORT CONTROLLER VOTERS COPIES: what a node is started with, its data in the same directory.
kafka_node() {
    local in_sync=$(($6 > 1 ? $6 - 1 : 1))
    mkdir -p "$1"
    cat >"$1/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$2
controller.quorum.voters=$5
listeners=PLAINTEXT://127.0.0.1:$3,CONTROLLER://127.0.0.1:$4
advertised.listeners=PLAINTEXT://127.0.0.1:$3
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/data
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$6
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$6
transaction.state.log.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
broker.session.timeout.ms=3000
PROPERTIES
    printf '%s\n' '#!/bin/sh' "exec java -Xmx512m -XX:+UseSerialGC -cp '$KAFKA_LIBS/*' kafka.Kafka '$1/server.properties'" >"$1/start"
    chmod +x "$1/start"
    touch "$1/broker.log"
}

# kafka_format DIRECTORY CLUSTER_ID
kafka_format() {
    # An identifier may begin with a dash: a word of its own it would be an option then.
    java -cp "$KAFKA_LIBS/*" kafka.tools.StorageTool format --config "$1/server.properties" --cluster-id="$2" \
        >"$1/format.log" 2>&1 && return 0
    sed 's/^/# /' "$1/format.log"
    return 1
}

# Makes a broker's directory, KAFKA_DIR; KAFKA_BOOTSTRAP is where it will listen.  With KAFKA_NODES=3 there are
# so many of them, in KAFKA_DIR/1 to KAFKA_DIR/3, and each keeps a copy of everything.
kafka_init() {
    local nodes=${KAFKA_NODES:-1} voters= id
    local -a port
    KAFKA_DIR=$(mktemp -d "${TMPDIR:-/tmp}"/admin_ext.kafka.XXXXXX)
    read -ra port < <(free_ports $((2 * nodes + 2)))
    KAFKA_BOOTSTRAP=
    for ((id = 1; id <= nodes; id++)); do
        voters+=${voters:+,}$id@127.0.0.1:${port[nodes + id - 1]}
        KAFKA_BOOTSTRAP+=${KAFKA_BOOTSTRAP:+,}127.0.0.1:${port[id - 1]}
    done
    KAFKA_NODE_DIRS=("$KAFKA_DIR")
    [ "$nodes" = 1 ] || KAFKA_NODE_DIRS=("$KAFKA_DIR"/{1..3})
    for ((id = 1; id <= nodes; id++)); do
        kafka_node "${KAFKA_NODE_DIRS[id - 1]}" "$id" "${port[id - 1]}" "${port[nodes + id - 1]}" "$voters" "$nodes"
    done
    [ "${KAFKA_SECURE:-}" != 1 ] || kafka_secure "${port[2 * nodes]}" "${port[2 * nodes + 1]}" || return 1
    local cluster dir
    cluster=$(python3 -c 'import base64, uuid; print(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))')
    for dir in "${KAFKA_NODE_DIRS[@]}"; do
        kafka_format "$dir" "$cluster" || return 1
    done
}

# kafka_await DIRECTORY PID: waits, two minutes at most, until that one says that it has started.
kafka_await() {
    local i
    for ((i = 0; i < 1200; i++)); do
        ! grep -q 'Kafka Server started' "$1/broker.log" || return 0
        kill -0 "$2" 2>/dev/null || break
        read -rt 0.1 <> <(:) || true
    done
    tail -n 20 "$1/broker.log" | sed 's/^/# /'
    return 1
}

# Starts it, or all of them: KAFKA_PID is the first one's, KAFKA_PIDS are all.
kafka_start() {
    local dir i
    KAFKA_PIDS=()
    for dir in "${KAFKA_NODE_DIRS[@]}"; do
        "$dir/start" >>"$dir/broker.log" 2>&1 &
        KAFKA_PIDS+=("$!")
    done
    KAFKA_PID=${KAFKA_PIDS[0]}
    for i in "${!KAFKA_PIDS[@]}"; do
        kafka_await "${KAFKA_NODE_DIRS[i]}" "${KAFKA_PIDS[i]}" || return 1
    done
}

kafka_stop() {
    [ -n "${KAFKA_PID:-}" ] || return 0
    # The last of several would wait for the others.
    [ "${#KAFKA_PIDS[@]}" = 1 ] && kill "$KAFKA_PID" 2>/dev/null || kill -9 "${KAFKA_PIDS[@]}" 2>/dev/null
    wait "${KAFKA_PIDS[@]}" 2>/dev/null
    rm -rf "$KAFKA_DIR"
    KAFKA_PID=
}
