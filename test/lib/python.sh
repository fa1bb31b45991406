# python.sh: a Python of our own, kept in .cache, and what scripts ask it for.  Sourced.

# python_with MODULES REQUIREMENT ...: sets PYTHON; these modules can be imported by it.  One
# suite installs at a time.
python_with() {
    local modules=$1
    shift
    PYTHON=$PWD/.cache/venv/bin/python
    mkdir -p .cache
    (
        flock 9
        [ -x "$PYTHON" ] || python3 -m venv .cache/venv || exit 1
        "$PYTHON" -c "import $modules" 2>/dev/null || "$PYTHON" -m pip install -q "$@"
    ) 9>.cache/venv.lock
}

# python_client: what is in clients/python is installed there, once for each state of its files, so
# that a suite that uses it does not lose it when another one begins.
python_client() {
    (
        flock 9
        state=$(cat clients/python/pyproject.toml $(find clients/python/src -name '*.py' -o -name '*.mako' -o -name '*.json' | LC_ALL=C sort) | sha256sum)
        [ "$state" != "$(cat .cache/venv/client 2>/dev/null)" ] || exit 0
        rm -rf clients/python/build     # what was removed since would be installed, too
        "$PYTHON" -m pip install -q --no-deps --force-reinstall ./clients/python && echo "$state" >.cache/venv/client
    ) 9>.cache/venv.lock
}

# What the archiver needs, with what its tests and its demonstration need beside it.
ARCHIVE_MODULES='asyncpg, boto3, confluent_kafka, cryptography, orjson, prometheus_client, purgatory, redis, rfc3161_client, zstandard'
ARCHIVE_REQUIREMENTS='asyncpg==0.32.0 boto3==1.44.8 confluent-kafka==2.16.1 cryptography==48.0.0 orjson==3.13.0 prometheus-client==0.26.0 purgatory==3.0.1
    redis==8.1.0 rfc3161-client==1.0.9 zstandard==0.25.0'

# free_ports COUNT: that many of loopback, each another one.
free_ports() {
    python3 -c 'import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(each.getsockname()[1] for each in sockets))' "$1"
}
