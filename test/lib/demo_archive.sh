# demo_archive.sh: the trail in object-locked storage, and what a verifier says of tampering.  Sourced by test/demo.

. test/lib/object_store.sh
DEMO_BUCKET=trail

archiver() { "$PYTHON" -m admin_client.archive "$@"; }
verifier() { "$PYTHON" -m admin_client.verify "$@"; }

# A broker, an object store with a bucket that locks, and what writes and reads it.
demo_prepare_archive() {
    demo_prepare_kafka
    echo "== fetching an object store, the archiver and DuckDB, unless they are there"
    object_store_fetch
    python_with "$ARCHIVE_MODULES, duckdb" $ARCHIVE_REQUIREMENTS duckdb==2.0.1
    object_store_init
    object_store_start
    export PYTHONPATH=$PWD/clients/python/src AWS_ENDPOINT_URL=$S3_ENDPOINT
    "$PYTHON" -c "import boto3; boto3.client('s3').create_bucket(Bucket='$DEMO_BUCKET', ObjectLockEnabledForBucket=True)"
}

# Three approvals, two of them with both signatures, and what FF is answered.
demo_approvals() {
    echo "== three approvals are issued and signed, FF asks"
    sql -c 'create extension admin_ext' -c 'select admin.create_audit_partitions()' >/dev/null
    PGOPTIONS='-c admin_ext.require_verified_jwt=off' sql -P footer=off <<'SQL'
\o /dev/null
select admin.issue_approval('payout', '{finance,legal}', now() + interval '1 day', 'account ' || n, 'APP-00000' || n || '-demo', 'ann')
from generate_series(1, 3) as n;
select admin.sign_approval('APP-00000' || n || '-demo', 'finance', 'bob') from generate_series(1, 3) as n;
select admin.sign_approval('APP-00000' || n || '-demo', 'legal', 'eve') from generate_series(1, 2) as n;
\o
select j ->> 'approval_id' as approval_id, j ->> 'decision' as decision, j ->> 'reason' as reason
from generate_series(1, 3) as n, lateral (select admin.sensitive_check('APP-00000' || n || '-demo', 'payout', 'account ' || n)::jsonb) as c(j);
SQL
}

# demo_copy DIRECTORY: what somebody gets who copies the bucket.
demo_copy() {
    "$PYTHON" - "$DEMO_BUCKET" "$1" <<'PYTHON'
import pathlib
import sys

import boto3

s3 = boto3.client("s3")
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=sys.argv[1]):
    for each in page["Contents"]:
        path = pathlib.Path(sys.argv[2]) / each["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(sys.argv[1], each["Key"], str(path))
PYTHON
}

# demo_query COPY: one question to the archive, without the database.
demo_query() {
    echo "== one query by DuckDB: who was answered what"
    "$PYTHON" - "$1" <<'PYTHON'
import sys

import duckdb

print(duckdb.sql(f"""select subject, "time", "data"->>'decision' as decision, "data"->>'reason' as reason
    from read_json('{sys.argv[1]}/audit/*/*.ndjson.zst', columns = {{subject: 'varchar', time: 'timestamptz', type: 'varchar', data: 'json'}})
    where type = 'ptt.admin.sensitive.check.2b' order by "time\""""))
PYTHON
}

# demo_verify DSN ARGUMENT ...: the command as a person types it, its findings and its last line.
demo_verify() {
    local dsn=$1
    shift
    echo "\$ python -m admin_client.verify $*${dsn:+ --dsn …}"
    (cd "$SCRATCH/archive" && verifier "$@" ${dsn:+--dsn "$dsn"}) || true
}

# A superuser who can do everything in the database, and somebody who can change a copy of the archive.
demo_tamper() {
    echo "== a superuser forges an approval, edits a row and deletes another"
    sql <<'SQL'
alter table admin.audit disable trigger all;
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, state, sla_deadline)
values ('APP-000009-forged', 'payout', 'account 9', '{finance,legal}', 2, 'ann', 'signed_full', now() + interval '1 day');
update admin.audit set payload = replace(payload::text, 'account 2', 'account 8')::json where audit_id = (select min(audit_id) from admin.audit where approval_id = 'APP-000002-demo');
delete from admin.audit where audit_id = (select max(audit_id) from admin.audit where approval_id = 'APP-000003-demo');
SQL
    demo_verify "$2" --archive copy/audit --key public.pem
    echo "== somebody deletes a record from a copy of the archive"
    demo_delete_record "$1/copy/audit"
    demo_verify '' --archive copy/audit --key public.pem
}

# demo_delete_record COPY: the third document of an object is gone.
demo_delete_record() {
    "$PYTHON" - "$1" <<'PYTHON'
import io
import pathlib
import sys

import zstandard

path = next(pathlib.Path(sys.argv[1]).glob("*/*.ndjson.zst"))
lines = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes()), read_across_frames=True).read().splitlines(keepends=True)
path.chmod(0o644)
path.write_bytes(zstandard.ZstdCompressor().compress(b"".join(lines[:2] + lines[3:])))
PYTHON
}

demo_show_archive() {
    local work=$SCRATCH/archive dsn="postgresql:///$PGDATABASE?host=$PGHOST&user=$PGUSER"
    mkdir "$work"
    echo "== the archiver moves the topic into locked objects, and signs them"
    archiver keygen "$work/archive.pem" >/dev/null
    archiver run --brokers "$KAFKA_BOOTSTRAP" --topic "$DEMO_TOPIC" --bucket "$DEMO_BUCKET" --key "$work/archive.pem" --dsn "$dsn" --until-end 2>"$work/log" ||
        { cat "$work/log"; return 1; }
    demo_copy "$work/copy"
    echo "== the archive as a person sees it"
    (cd "$work/copy" && find audit -type f -printf '%p  %s bytes\n' | sort)
    demo_query "$work/copy"
    sql -P footer=off -c 'select sink, last_number, status, retain_until::date as locked_until from admin.archive_receipt'
    cp "$work"/copy/audit/keys/*.pem "$work/public.pem"
    echo "== is it complete and unaltered?"
    demo_verify "$dsn" --archive copy/audit --key public.pem
    demo_tamper "$work" "$dsn"
}
