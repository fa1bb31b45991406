# Receipts of the archive where workers deliver: dead letters, months that are dropped, dumps, promotion.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "select admin.sensitive_check('APP-000001-a')";
my $node = new_node('receipts', init => { allows_streaming => 1 }, conf => "admin_ext.retention = '1 year'\n");
create_extension($node);
$node->safe_psql('postgres', q{create role archiver login; select admin.grant_access('archiver', 'archiver')});

sub sql { return ($_[1] // $node)->safe_psql('postgres', $_[0]) }

# The archiver's role: a receipt for what the sink has now, and the same one again.
my ($store, $number, $chain);
sub receipt
{
	my ($n) = @_;
	($store, $number, $chain) = split /\|/, sql(q{select store_id, last_number, encode(chain, 'hex') from admin.delivery_chain('ndjson')}, $n);
	return send_receipt($n);
}

sub send_receipt
{
	my ($n) = @_;
	return ($n // $node)->psql('postgres', qq{select admin.record_receipt('$store', 'ndjson', $number, decode('$chain', 'hex'), sha256('seal'), now() + interval '7 years', 's3://bucket/$number')},
		extra_params => [ '-U', 'archiver' ]);
}

sub archived { return sql("select string_agg(archived::text, ' ' order by audit_id) from admin.audit_delivery where audit_id in ($_[0])", $_[1]) }

# A dead letter that is delivered later has a later number.
configure($node, 'admin_ext.sinks' => '');
$node->poll_query_until('postgres', 'select count(*) = 0 from admin.worker_status') or die 'the worker stays';
my $letter = sql(q{with row as materialized (select admin_internal.append_event('letter', '{}') as audit_id), letter as (
	insert into admin.dead_letter (sink, audit_id, error) select 'ndjson', audit_id, 'by hand' from row) select audit_id from row});
my $beside = sql("select (admin.sensitive_check('APP-000001-a') #>> '{audit,audit_id}')::bigint");
configure($node, 'admin_ext.sinks' => 'ndjson');
ok(wait_settled($node), 'all but the dead letter is delivered');
is(archived("$letter, $beside"), 'false false', 'nothing is archived before there is a receipt');
is(receipt(), 0, 'an archiver records a receipt');
is(archived("$letter, $beside"), 'false true', 'a dead letter is not archived');
sql("select admin.retry_dead_letter('ndjson', $letter)");
ok(wait_delivered($node), 'the dead letter is delivered after all');
is(sql(q{select e.audit_id from admin_internal.late_delivery as e join admin_internal.delivery_link as l
	on (e.store_id, e.sink, e.delivery_number, e.delivery_number) = (l.store_id, l.sink, l.first_number, l.last_number)}), $letter, 'a dead letter that is delivered late is noted with its delivery number');
is(archived("$letter, $beside"), 'false true', 'a receipt of before does not cover a dead letter that is delivered late');
is(send_receipt(), 0, 'the archiver may send the same receipt again');
is(archived("$letter, $beside"), 'false true', 'a receipt that is sent again changes nothing');
($number, $chain) = split /\|/, sql(q{select l.last_number, encode(l.chain, 'hex') from admin_internal.late_delivery as e join admin_internal.delivery_link as l
	on l.store_id = e.store_id and l.sink = e.sink and l.last_number = e.delivery_number});
is(send_receipt(), 0, 'the archiver holds the number of the dead letter');
is(archived("$letter, $beside"), 'true true', 'a receipt for the number of the dead letter covers it');
is(sql('select count(*) from admin_internal.late_delivery'), 0, 'a late delivery that a receipt covers is not noted any more');

# A month goes once the archive has it.
write_by_hand($node, q{insert into admin.audit (event_type, recorded_at, payload) values ('old', now() - interval '3 years', '{}')});
my $old = sql(q{select audit_id from admin.audit where event_type = 'old'});
ok(wait_delivered($node), 'an old row is delivered');
sql('select admin.create_audit_partitions(0)');
sql('alter system set admin_ext.archive_required = on');
$node->reload;
ok($node->poll_query_until('postgres', q{select current_setting('admin_ext.archive_required')::boolean}), 'receipts are required');
my ($rc, undef, $error) = $node->psql('postgres', q{select admin.drop_audit_partitions('1 year')});
like($error, qr/holds rows that have no receipt of the archive.*The first one is audit_id $old\b/s, 'a month without a receipt is kept, and its first row named');
sql('alter system set admin_ext.archive_required = off');
$node->reload;
ok($node->poll_query_until('postgres', q{select exists (select from admin.audit where event_type = 'setting.changed'
	and payload ->> 'setting' = 'admin_ext.archive_required' and payload ->> 'scope' = 'reload' and payload ->> 'value' = 'off')}), 'turning it off by a reload is an event');
is(sql(q{select string_agg(payload ->> 'value', ' ' order by audit_id) from admin.audit where event_type = 'setting.changed' and payload ->> 'scope' = 'system'}),
	'on off', 'each ALTER SYSTEM of archive_required is an event');
sql('alter system set admin_ext.archive_required = on');
$node->reload;
ok($node->poll_query_until('postgres', q{select current_setting('admin_ext.archive_required')::boolean}), 'receipts are required again');
ok(wait_delivered($node), 'the events of changed settings are delivered');
receipt();
is(archived($old), 'true', 'the old row is archived');
sql(qq{insert into admin_internal.late_delivery values ('ndjson', $old, gen_random_uuid(), 1, '3'), ('ndjson', $beside, gen_random_uuid(), 1, '3')});
is(sql(q{select admin.drop_audit_partitions('1 year')}), 1, 'the month is dropped');
is(sql('select audit_id from admin_internal.late_delivery'), $beside, 'late deliveries noted for rows of the dropped month are forgotten, others are not');
is(sql(q{select payload #>> '{last_numbers,ndjson,last_number}' ~ '^\d+$' and payload #>> '{last_numbers,ndjson,store}' = admin.store_id()::text
	from admin.audit where event_type = 'partition.dropped'}), 't', 'partition.dropped names the last delivery number and the store');

# A standby takes over what is archived.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('promoted');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
sql($check);
ok(wait_delivered($node), 'the primary delivers after the standby was made');
my $last = sql(q{select max(audit_id) from admin.audit_delivery where sink_status = 'delivered'});
receipt();
$node->wait_for_catchup($standby);
is(archived($last, $standby), 'true', 'a standby shows what is archived');
like(sql('select status from admin.archive_status', $standby), qr/^ok$/, 'a standby shows the status of the archive');
($rc, undef, $error) = $standby->psql('postgres', q{select admin.record_receipt(admin.store_id(), 'ndjson', 1, null, null, null, 'x')});
like($error, qr/read-only transaction/, 'a standby takes no receipt');
$node->stop;
$standby->promote;
is(archived($last, $standby), 'true', 'an archived row is still archived after a promotion');
is(send_receipt($standby), 0, 'the archiver sends its newest receipt again');
is(sql(q{select count(*) from admin.archive_receipt where last_number = } . $number, $standby), 1, 'a receipt that is sent again after a promotion is recorded once');
sql($check, $standby);
ok(wait_delivered($standby), 'the promoted server delivers');
is(receipt($standby), 0, 'the promoted server takes receipts');

# A copy by a dump has the receipts, and no row is archived by them: nothing of it was delivered as this store.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
run_log([ 'pg_dump', '-Fc', '-f', $dump, '-d', $standby->connstr('postgres') ]) or die 'pg_dump failed';
sql('create database copy', $standby);
{
	local $ENV{PGOPTIONS} = '-c admin_ext.restoring=on';
	ok(run_log([ 'pg_restore', '-e', '-d', $standby->connstr('copy'), $dump ]), 'a dump with receipts is restored');
}
my $rows = 'select count(*), min(last_number), max(location) from admin.archive_receipt';
is($standby->safe_psql('copy', $rows), sql($rows, $standby), 'the copy has all receipts');
is($standby->safe_psql('copy', 'select coalesce(bool_or(archived), false) from admin.audit_delivery'), 'f', 'the receipts of the copy cover none of its rows');
my ($from) = split /\|/, $standby->safe_psql('copy', q{select * from admin.resync_proposal('ndjson')});
$standby->safe_psql('copy', "select admin.resync_sink('ndjson', $from)");
is($standby->safe_psql('copy', 'select coalesce(bool_or(archived), false) from admin.audit_delivery'), 'f', 'the receipts of the copy cover none of its rows after a resync');
foreach my $change ('delete from admin.archive_receipt', q{update admin.archive_receipt set status = 'ok'}, 'truncate admin.archive_receipt')
{
	(undef, undef, $error) = $standby->psql('copy', $change);
	like($error, qr/receipts of the archive are append-only/, "$change is refused in the copy");
}
is($standby->safe_psql('copy', q{select count(*) from admin.restore_guards() where relation = 'admin.archive_receipt'::regclass}), 0, 'the guards of admin.archive_receipt are complete in the copy');
$standby->stop;
done_testing();
