# demo.sh: what a demonstration consists of.  Sourced by test/demo.

DEMO_TOPIC=ptt.audit.trail

sql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

# Policies for the fixtures' actions: who asks for an approval does not choose who has to sign it.
demo_policies() {
    echo "== who has to sign, by action"
    sql -P footer=off <<'SQL'
\o /dev/null
select admin.set_action_policy('release.deploy', '{product_owner}', '90 days'),
       admin.set_action_policy('payout.execute', '{finance_gate,legal_gate}', '90 days'),
       admin.set_action_policy('data.export', '{product_owner}', '90 days');
\o
select action, required_roles, max_ttl from admin.action_policy order by action;
SQL
}

# The six fixtures, and what a check of each answers.
demo_decisions() {
    sql -c 'create extension admin_ext' -c 'create extension admin_ext_cutover' -c 'select admin.create_audit_partitions()' >/dev/null
    demo_policies
    echo "== loading the six fixtures"
    sql -At -v document="$(cat fixtures/approval_examples.json)" <<<"select admin.import_approvals(:'document');"

    echo "== does an approval cover what is about to be done?"
    sql -v document="$(cat fixtures/approval_examples.json)" <<'SQL'
\pset footer off
create temp table answer as
select j ->> 'fixture' as fixture, admin.sensitive_check(j ->> 'approval_id', actor => 'FF', request_id => j ->> 'fixture')::jsonb as a
from jsonb_array_elements(:'document') as j;
select fixture, a ->> 'approval_id' as approval_id, a ->> 'decision' as decision, a ->> 'reason' as reason,
       a ->> 'ttl_state' as ttl_state, a #>> '{meta,operator_alert}' as alert, a #>> '{audit,audit_id}' as audit_id
from answer order by fixture;
SQL

    echo "== how the third one came about"
    sql -P footer=off -c "select precedence, rule, matched, detail from admin.explain_check('APP-100003-partial')"
}

# The path of doc/quickstart.md: issued, signed, asked for, acted upon, expired.
demo_path() {
    echo "== the whole path: an approval is issued and signed, FF asks and acts, the deadline passes"
    sql -c 'create extension admin_ext' -c 'select admin.create_audit_partitions()' >/dev/null
    demo_listen
    PGOPTIONS='-c admin_ext.require_verified_jwt=off' sql -e -P footer=off -P tuples_only=on -f test/path.sql
}

# The rows of the trail, once all of them are delivered.
demo_trail() {
    local delivered="select count(*) filter (where sink_status <> 'delivered') = 0 from admin.audit_delivery"
    echo "== what is in the trail, and what became of it"
    wait_until "$delivered" || { echo "not delivered:"; sql -x -c 'select * from admin.worker_status'; return 1; }
    sql -P footer=off -c "select a.audit_id, a.event_type, a.approval_id, a.actor, d.sink, d.sink_status
        from admin.audit as a join admin.audit_delivery as d using (audit_id) order by audit_id"
}

demo_prepare_ndjson() { :; }

demo_show_ndjson() {
    echo "== the NDJSON lines they became (CloudEvents 1.0)"
    cat "$SCRATCH"/data/admin_ext/*-*.ndjson
}

# A broker of our own, and the topic as deploy/kafka has it, but for the copies that one broker cannot hold.
demo_prepare_kafka() {
    echo "== fetching a broker and a client, unless they are there"
    kafka_fetch
    python_fetch
    echo "== starting a scratch broker (some seconds)"
    kafka_init
    kafka_start
    echo "== making the topic"
    "$PYTHON" deploy/kafka/create_topic.py --brokers "$KAFKA_BOOTSTRAP" --topic "$DEMO_TOPIC" \
        --set replication.factor=1 --set min.insync.replicas=1
}

demo_show_kafka() {
    echo "== the records they became, as a read_committed consumer (kcat) sees them: key, headers, CloudEvents 1.0"
    kcat -C -q -e -b "$KAFKA_BOOTSTRAP" -t "$DEMO_TOPIC" -o beginning -X isolation.level=read_committed \
        -f 'key %k\nheaders %h\n%s\n\n'
}

# A Redis of our own, and somebody who listens to the channel.
demo_prepare_redis() {
    echo "== starting a scratch Redis"
    redis_init
    redis_start
}

demo_listen() {
    HEARD=$REDIS_DIR/heard
    redis-cli -p "$REDIS_PORT" subscribe approval_ttl_refresh >"$HEARD" &
    LISTENER=$!
    local i
    for ((i = 0; i < 100; i++)); do
        ! grep -q subscribe "$HEARD" || return 0
        read -rt 0.1 <> <(:) || true
    done
    echo "the subscriber does not listen"
    return 1
}

demo_hang_up() {
    [ -z "${LISTENER:-}" ] || kill "$LISTENER" 2>/dev/null
    LISTENER=
}

demo_show_redis() {
    demo_show_ndjson
    echo "== what a subscriber of approval_ttl_refresh has heard"
    demo_hang_up
    grep '^{' "$HEARD"
}
