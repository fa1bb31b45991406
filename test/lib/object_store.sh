# object_store.sh: a real S3 server of our own on loopback, with versions and Object Lock.  Sourced.
#
# OBJECT_STORE names it: versitygw, or minio, which is stricter and takes longer to build.  It is built
# once by go and kept in .cache; its objects live in a temporary directory.  It is ended by its pid.
# Other users of the machine can read command lines, so the keys are new for each run.

. test/lib/python.sh
OBJECT_STORE=${OBJECT_STORE:-versitygw}

object_store_module() {
    case $OBJECT_STORE in
        versitygw) echo github.com/versity/versitygw/cmd/versitygw@v1.8.0 ;;
        minio) echo github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c ;;
        *)
            echo "OBJECT_STORE is \"$OBJECT_STORE\"; it may be versitygw or minio" >&2
            return 1
            ;;
    esac
}

# The server, built once.
object_store_fetch() {
    local module cache
    module=$(object_store_module) || return 1
    cache=$PWD/.cache/$OBJECT_STORE-${module##*@}
    OBJECT_STORE_SERVER=$cache/$OBJECT_STORE
    [ ! -x "$OBJECT_STORE_SERVER" ] || return 0
    echo "# building $OBJECT_STORE ${module##*@}"
    GOBIN=$cache timeout 1800 go install "$module" >"$PWD/.cache/$OBJECT_STORE.log" 2>&1 && return 0
    tail -n 20 "$PWD/.cache/$OBJECT_STORE.log" | sed 's/^/# /'
    return 1
}

# object_store_command PORT PORT: how it is started; the second port is for what else it has to listen at.
object_store_command() {
    case $OBJECT_STORE in
        versitygw)
            echo "export ROOT_ACCESS_KEY_ID='$AWS_ACCESS_KEY_ID' ROOT_SECRET_ACCESS_KEY='$AWS_SECRET_ACCESS_KEY'"
            echo "exec '$OBJECT_STORE_SERVER' --port 127.0.0.1:$1 --quiet posix --versioning-dir '$S3_DIR/versions' '$S3_DIR/objects' >>'$S3_DIR/log' 2>&1"
            ;;
        minio)
            echo "export MINIO_ROOT_USER='$AWS_ACCESS_KEY_ID' MINIO_ROOT_PASSWORD='$AWS_SECRET_ACCESS_KEY' MINIO_BROWSER=off MINIO_UPDATE=off HOME='$S3_DIR'"
            echo "exec '$OBJECT_STORE_SERVER' server --quiet --address 127.0.0.1:$1 --console-address 127.0.0.1:$2 '$S3_DIR/objects' >>'$S3_DIR/log' 2>&1"
            ;;
    esac
}

# Makes S3_DIR with a script that starts it, which leaves its pid beside itself; S3_ENDPOINT is where it will listen.
object_store_init() {
    local -a port
    S3_DIR=$(mktemp -d "${TMPDIR:-/tmp}"/admin_ext.s3.XXXXXX)
    read -ra port < <(free_ports 2)
    S3_ENDPOINT=http://127.0.0.1:${port[0]}
    AWS_ACCESS_KEY_ID=archive$RANDOM AWS_SECRET_ACCESS_KEY=secret-$RANDOM$RANDOM AWS_DEFAULT_REGION=us-east-1
    mkdir "$S3_DIR/objects" "$S3_DIR/versions"
    printf '%s\n' '#!/bin/sh' "echo \$\$ >'$S3_DIR/pid'" "$(object_store_command "${port[@]}")" >"$S3_DIR/start"
    chmod 700 "$S3_DIR/start"
    export OBJECT_STORE S3_DIR S3_ENDPOINT AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_DEFAULT_REGION
}

# Starts it and waits, thirty seconds at most, until it answers.
object_store_start() {
    local i
    "$S3_DIR/start" &
    for ((i = 0; i < 300; i++)); do
        ! curl -s -o /dev/null --max-time 1 "$S3_ENDPOINT/" || return 0
        read -rt 0.1 <> <(:) || true
    done
    tail -n 20 "$S3_DIR/log" | sed 's/^/# /'
    return 1
}

# Ends it, if a test has left it running.
object_store_stop() {
    [ -n "${S3_DIR:-}" ] || return 0
    if [ -f "$S3_DIR/pid" ]; then
        kill "$(cat "$S3_DIR/pid")" 2>/dev/null
        wait "$(cat "$S3_DIR/pid")" 2>/dev/null
    fi
    rm -rf "$S3_DIR"
    S3_DIR=
}
