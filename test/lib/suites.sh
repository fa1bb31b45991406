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
    echo "1..$#"
    regress_as_tap "$logs/out"
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

tap() {
    local pgxs work
    [ $# -gt 0 ] || set -- $(file_names test/t .pl)
    pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
    work=$(mktemp -d /tmp/admin_ext.tap.XXXXXX)
    cp -r test/t doc "$work"
    chown -R postgres "$work"
    mount_small_disk || echo "not ok - a small file system can be mounted"
    (cd "$work/t" && as_server_user env PATH="$PGBINDIR:$PATH" TESTDIR="$work" TESTDATADIR="$work/tmp" TESTLOGDIR="$work/log" \
        PERL5LIB="$pgxs/src/test/perl" PG_REGRESS="$pgxs/src/test/regress/pg_regress" SMALL_DISK="$SMALL_DISK" \
        prove -v "${@/%/.pl}")
    local status=$?
    unmount_small_disk
    [ "$status" = 0 ] && rm -rf "$work" || echo "# logs are kept in $work"
    return $status
}

doc() {
    local page status=0
    [ $# -gt 0 ] || set -- kafka_page identity_page redis_page ff_page
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
