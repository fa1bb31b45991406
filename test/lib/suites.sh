# suites.sh: each suite is a function of its name, and speaks TAP.  Sourced, after cluster.sh.
#
# An argument names a part of the suite: a file without its ending, for python an argument of pytest.
# $logs is a directory for what a suite keeps until it is counted.

# file_names DIRECTORY ENDING: the names of its files, without the ending
file_names() {
    local file
    for file in "$1"/*"$2"; do
        file=${file##*/}
        echo "${file%.*}"
    done
}

# pg_regress's own words as TAP: "test core_test ... ok", or "ok 1 - core_test" since 16.
regress_as_tap() {
    sed -E 's/^test ([^ ]+) +\.\.\. ok.*/ok - \1/; s/^test ([^ ]+) +\.\.\. FAILED.*/not ok - \1/' "$1"
}

regress() {
    local status=0
    [ $# -gt 0 ] || set -- $(file_names sql _test.sql)
    cluster_start "shared_preload_libraries = 'admin_ext'" "max_prepared_transactions = 10" || return 1
    make -s PG_CONFIG="$PG_CONFIG" installcheck ISOLATION= REGRESS="$*" REGRESS_OPTS="--dbname=contrib_regression" >"$logs/out" 2>&1 || status=1
    echo "1..$(($# + 1))"
    regress_as_tap "$logs/out"
    if grep -Hn "audit_y$(date -u +%Y)m" expected/*.out; then
        echo "not ok - no expected output names the month of now"
        status=1
    else
        echo "ok - no expected output names the month of now"
    fi
    { cat regression.diffs 2>/dev/null || tail -n 5 "$logs/out"; } | sed 's/^/# /'
    cluster_stop
    return $status
}

pgtap() {
    local status=0 name
    [ $# -gt 0 ] || set -- $(file_names test/pgtap .sql)
    cluster_start "shared_preload_libraries = 'admin_ext'" || return 1
    for name in "$@"; do
        echo "# $name"
        psql -XAtq -v ON_ERROR_STOP=1 -f "test/pgtap/$name.sql" || status=1
    done
    cluster_stop
    return $status
}

isolation() {
    local status=0
    [ $# -gt 0 ] || set -- $(file_names test/isolation/specs .spec)
    cluster_start "max_prepared_transactions = 10" || return 1
    make -s PG_CONFIG="$PG_CONFIG" installcheck REGRESS= ISOLATION="$*" >"$logs/out" 2>&1 || status=1
    echo "1..$#"
    regress_as_tap "$logs/out"
    { cat test/isolation/output_iso/regression.diffs test/isolation/regression.diffs 2>/dev/null || tail -n 5 "$logs/out"; } | sed 's/^/# /'
    cluster_stop
    return $status
}

# A file system that fills up, for whoever writes to it.
mount_small_disk() {
    SMALL_DISK=$(mktemp -d /tmp/admin_ext.disk.XXXXXX)
    mount -t tmpfs -o size=12m,mode=700 admin_ext "$SMALL_DISK" || return 1
    head -c 9000000 /dev/zero >"$SMALL_DISK/ballast"
    chown -R postgres "$SMALL_DISK"
}

unmount_small_disk() {
    [ -n "${SMALL_DISK:-}" ] || return 0
    umount "$SMALL_DISK" && rmdir "$SMALL_DISK"
    SMALL_DISK=
}

# A sink of somebody else: built with what is installed, and found where the server's libraries are.
build_recorder() {
    local library
    library=$("$PG_CONFIG" --pkglibdir)/admin_ext_recorder.so
    # shellcheck disable=SC2046
    cc -O2 -Wall -Werror -shared -fPIC -I"$("$PG_CONFIG" --includedir-server)" $("$PG_CONFIG" --cppflags) \
        -o "$library" test/t/recorder.c && RECORDER=$library
}

remove_recorder() {
    [ -z "${RECORDER:-}" ] || rm -f "$RECORDER"
    RECORDER=
}

# Servers that a test has left running: it was ended.
stop_tap_servers() {
    local file
    for file in "${TAP_WORK:-/nowhere}"/tmp_check/*/pgdata/postmaster.pid; do
        [ ! -e "$file" ] || as_server_user "$PGBINDIR/pg_ctl" -D "${file%/*}" -m immediate stop >/dev/null
    done
}

# Two files at a time, each with servers of its own: they wait most of the time.  What they say comes file by file.
tap() {
    local pgxs status name
    [ $# -gt 0 ] || set -- $(file_names test/t .pl)
    pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
    TAP_WORK=$(mktemp -d /tmp/admin_ext.tap.XXXXXX)
    cp -r test/t doc "$TAP_WORK"
    chown -R postgres "$TAP_WORK"
    mount_small_disk || echo "not ok - a small file system can be mounted"
    build_recorder || echo "not ok - a sink is built against the installed header"
    (cd "$TAP_WORK/t" && printf '%s\n' "$@" |
        as_server_user env PATH="$PGBINDIR:$PATH" TESTDIR="$TAP_WORK" TESTDATADIR="$TAP_WORK/tmp" TESTLOGDIR="$TAP_WORK/log" \
            PERL5LIB="$pgxs/src/test/perl" PG_REGRESS="$pgxs/src/test/regress/pg_regress" SMALL_DISK="$SMALL_DISK" \
            xargs -P "${TAP_JOBS:-2}" -I {} sh -c 'prove -v {}.pl >{}.out 2>&1')
    status=$?
    for name in "$@"; do
        cat "$TAP_WORK/t/$name.out" || echo "not ok - $name runs"
    done
    stop_tap_servers
    unmount_small_disk
    remove_recorder
    [ "$status" = 0 ] && rm -rf "$TAP_WORK" || echo "# logs are kept in $TAP_WORK"
    return $status
}

doc() {
    local page status=0
    [ $# -gt 0 ] || set -- kafka_page identity_page redis_page ff_page archive_page receipts_page readme_page dba_page vocabulary
    for page in "$@"; do
        python3 "test/doc/$page.py" || status=1
    done
    return $status
}

fuzz() { test/fuzz/run "${FUZZ_SECONDS:-30}" "$@"; }
runner() { test/runner/run; }
unit() { test/unit/run "$@"; }
majors() { test/majors/run "$@"; }
identity() { test/identity/run "$@"; }
seams() { test/seams/run "$@"; }
readers() { test/readers/run; }
python() { test/python/run "$@"; }
kafka() { test/integration/run "$@"; }

# Once more with what is newest of broker and librdkafka; an outage is noticed after 20 s.
kafka_newer() {
    [ $# -gt 0 ] || set -- kafka_delivery kafka_watch kafka_faults
    KAFKA_VERSION=4.4.0 RDKAFKA=newer KAFKA_ROUNDS=$((${KAFKA_ROUNDS:-50} / 5)) KAFKA_OUTAGE=${KAFKA_OUTAGE:-30} test/integration/run "$@"
}

archive() { test/archive/run "$@"; }
redis() { test/integration/run_redis "$@"; }
patroni() { test/patroni/run; }
ndjson() { test/integration/run_ndjson "$@"; }
demo() { test/demo_check; }

# A sample, or with MUTATIONS=all every mutation.
mutations() {
    local sample="--seconds ${MUTATION_SECONDS:-100}"
    [ "${MUTATIONS:-}" != all ] || sample=
    # shellcheck disable=SC2086
    test/mutate $sample
}
