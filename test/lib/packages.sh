# packages.sh: what builds and tests need from Debian.  Sourced.
#
# An existing cluster is never touched, and none is created.

export PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}

BUILD_PACKAGES='postgresql-15 postgresql-server-dev-15 libssl-dev gcc make'
TEST_PACKAGES="$BUILD_PACKAGES libipc-run-perl postgresql-15-pgtap postgresql-15-cron postgresql-15-repack patroni etcd-server pgbouncer pg-bsd-indent clang-14 libclang-rt-14-dev python3 python3-pip python3-venv unzip
    pkg-config librdkafka-dev libcurl4-openssl-dev libhiredis-dev redis-server openjdk-17-jre-headless maven openssl zstd kcat jq curl rsyslog locales systemd"

# What readers in other languages need: a package where the machine has no such command already.
for each in jq=jq go=golang-go node=nodejs npm=npm javac=openjdk-17-jdk-headless; do
    command -v "${each%%=*}" >/dev/null || TEST_PACKAGES="$TEST_PACKAGES ${each#*=}"
done

DEMO_KAFKA_PACKAGES="$BUILD_PACKAGES python3 python3-pip python3-venv pkg-config librdkafka-dev libcurl4-openssl-dev
    openjdk-17-jre-headless maven kcat"
DEMO_REDIS_PACKAGES="$BUILD_PACKAGES python3 openssl pkg-config libcurl4-openssl-dev libhiredis-dev redis-server"
DEMO_ARCHIVE_PACKAGES="$DEMO_KAFKA_PACKAGES curl"
command -v go >/dev/null || DEMO_ARCHIVE_PACKAGES="$DEMO_ARCHIVE_PACKAGES golang-go"
BENCH_PACKAGES="$TEST_PACKAGES postgresql-15-pgq3"

# without_starting COMMAND ...: a server that a package brings along is not started meanwhile; ours
# are, each on a port of its own.  A rule that is there already is left as it is.
without_starting() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '%s\n' '#!/bin/sh' 'exit 101' >"$policy"
        chmod +x "$policy"
    fi
    "$@"
)

# install_packages [PACKAGE ...]: those that are missing.
install_packages() {
    local missing='' package status config=/etc/postgresql-common/createcluster.d/admin_ext.conf
    # shellcheck disable=SC2048,SC2086
    for package in ${*:-$TEST_PACKAGES}; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "== installing$missing"
    mkdir -p "$(dirname "$config")"
    echo 'create_main_cluster = false' >"$config"
    # shellcheck disable=SC2086
    apt-get update -qq && without_starting env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-upgrade $missing >/dev/null
    status=$?
    rm -f "$config"
    return $status
}
