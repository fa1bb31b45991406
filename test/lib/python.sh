# python.sh: a Python of our own, kept in .cache, and what scripts ask it for.  Sourced.

# python_with MODULES REQUIREMENT ...: sets PYTHON; these modules can be imported by it.
python_with() {
    local modules=$1
    shift
    PYTHON=$PWD/.cache/venv/bin/python
    [ -x "$PYTHON" ] || python3 -m venv .cache/venv || return 1
    "$PYTHON" -c "import $modules" 2>/dev/null || "$PYTHON" -m pip install -q "$@"
}

# free_ports COUNT: that many of loopback, each another one.
free_ports() {
    python3 -c 'import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(each.getsockname()[1] for each in sockets))' "$1"
}
