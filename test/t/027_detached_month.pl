# A month that somebody detaches takes rows out of the trail.  Delivery does not go past those that it has not sent.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('detached', conf => "admin_ext.require_verified_jwt = off\n");
create_extension($node);
my $check = q{select admin.sensitive_check('APP-000001-a')};
my ($month, $begins) = split /\|/, $node->safe_psql('postgres',
	'select partition, lower_bound from admin.audit_partitions() where not is_default order by lower_bound limit 1');

# Attaches the month up to the first row that has come to the default partition since, or up to the month that a worker
# has made of such rows.
sub attach
{
	$node->safe_psql('postgres', "do \$\$ begin execute (select format('alter table admin.audit attach partition $month for values from (%L) to (%L)',
		'$begins', least((select min(recorded_at) from admin.audit_default),
			(select min(lower_bound) from admin.audit_partitions() where lower_bound > '$begins')))); end \$\$");
}

$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'a month is delivered');
$node->safe_psql('postgres', "alter table admin.audit detach partition $month");
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'delivered rows are not missed when their month is detached');
attach();
ok(wait_delivered($node), 'no row waits for delivery when a delivered month is attached again');

# A row that was rolled back is nobody's to deliver.
$node->safe_psql('postgres', 'select admin.create_audit_partitions()');
configure($node, 'admin_ext.sinks' => '');
ok($node->poll_query_until('postgres', 'select count(pid) = 0 from admin.worker_status'), 'no worker runs while a row is rolled back');
$month = $node->safe_psql('postgres', "begin; $check; select tableoid::regclass from admin.audit order by audit_id desc limit 1; rollback") =~ s/.*\n//sr;
$begins = $node->safe_psql('postgres', "select lower_bound from admin.audit_partitions() where partition = '$month'::regclass");
$node->safe_psql('postgres', "alter table admin.audit detach partition $month; $check");
configure($node, 'admin_ext.sinks' => 'ndjson');
ok(wait_delivered($node), 'a row that was rolled back stops nothing');
attach();

# While the sink is not enabled rows come.
configure($node, 'admin_ext.sinks' => '');
ok($node->poll_query_until('postgres', 'select count(pid) = 0 from admin.worker_status'), 'no worker runs while rows come to a month that is detached');
$node->safe_psql('postgres', 'select admin.create_audit_partitions()');
$month = $node->safe_psql('postgres', $check . q{; select tableoid::regclass from admin.audit order by audit_id desc limit 1}) =~ s/.*\n//sr;
$begins = $node->safe_psql('postgres', "select lower_bound from admin.audit_partitions() where partition = '$month'::regclass");
$node->safe_psql('postgres', "alter table admin.audit detach partition $month; $check");
configure($node, 'admin_ext.sinks' => 'ndjson');
ok($node->poll_query_until('postgres', q{select last_error ~ 'was detached from admin.audit, and holds rows that are not delivered'
	and last_error ~ 'ATTACH PARTITION' and state = 'stopped' from admin.worker_status}), 'rows of a detached month that are not delivered stop delivery, with what to do')
  or diag(status($node, 'state, last_error'));
is($node->safe_psql('postgres', 'select count(*) > 0 from admin.audit_delivery where sink_status <> $$delivered$$'), 't', 'rows behind those of the detached month are not delivered');
attach();
ok(wait_delivered($node), 'the month is attached again, and all is delivered');
compare_ledger($node, 'rows are delivered once each after the month is attached again');

# By another name, in another schema and with other columns it is the same table.
configure($node, 'admin_ext.sinks' => '');
ok($node->poll_query_until('postgres', 'select count(pid) = 0 from admin.worker_status'), 'no worker runs while a detached month is renamed and moved');
$node->safe_psql('postgres', 'select admin.create_audit_partitions()');
$month = $node->safe_psql('postgres', $check . q{; select tableoid::regclass from admin.audit order by audit_id desc limit 1}) =~ s/.*\n//sr;
$node->safe_psql('postgres', "create schema kept; alter table admin.audit detach partition $month; alter table $month rename to old; alter table admin.old set schema kept; $check");
configure($node, 'admin_ext.sinks' => 'ndjson');
ok($node->poll_query_until('postgres', q{select state = 'stopped' and last_error ~ 'table "old" was detached' from admin.worker_status}), 'a detached month by another name in another schema stops delivery');
$node->safe_psql('postgres', 'alter table kept.old alter column xid drop default, alter column xid type text using xid::text');
configure($node, 'admin_ext.batch_rows' => 1001);
ok($node->poll_query_until('postgres', q{select state = 'stopped' and last_error ~ 'which of its rows are delivered cannot be told' from admin.worker_status}), 'a detached month with a column of another type stops delivery');
$node->safe_psql('postgres', 'drop trigger audit_append_only_statement on kept.old');
ok(wait_delivered($node), 'a detached month without the guard of the trail does not stop delivery');
like($node->safe_psql('postgres', q{select payload ->> 'text' from admin.audit where event_type = 'guard.changed' order by audit_id desc limit 1}),
	qr/drop trigger audit_append_only_statement/, 'dropping the guard of a detached month is an event');

# What is sent again is read by the btree of audit_id, and by no other index of it.
configure($node, 'admin_ext.sinks' => '');
ok($node->poll_query_until('postgres', 'select count(pid) = 0 from admin.worker_status'), 'no worker runs while an index is replaced');
$node->safe_psql('postgres', q{alter table admin.audit_default drop constraint audit_default_pkey; create index on admin.audit_default using hash (audit_id);
	select admin.resync_sink('ndjson', (select min(audit_id) from admin.audit))});
configure($node, 'admin_ext.sinks' => 'ndjson');
ok($node->poll_query_until('postgres', q{select last_error ~ 'lacks an index that delivery reads by' from admin.worker_status}), 'an index of another kind is not read')
  or diag(status($node, 'state, last_error'));
$node->safe_psql('postgres', 'select admin.create_audit_partitions()');
ok(wait_delivered($node), 'create_audit_partitions makes the index, and all is delivered');

# The default partition, and a copy of a month that never was one.
configure($node, 'admin_ext.sinks' => '');
ok($node->poll_query_until('postgres', 'select count(pid) = 0 from admin.worker_status'), 'no worker runs while the default partition is detached');
$node->safe_psql('postgres', 'create table admin.audit_y2020m01_copy as table admin.audit');
$node->safe_psql('postgres', "do \$\$ declare month regclass; begin for month in select partition from admin.audit_partitions() where not is_default loop
	execute format('alter table admin.audit detach partition %s; drop trigger audit_append_only_statement on %1\$s', month); end loop; end \$\$");
is($node->safe_psql('postgres', $check . q{; select tableoid::regclass from admin.audit order by audit_id desc limit 1}) =~ s/.*\n//sr, 'admin.audit_default', 'a row comes to the default partition');
$node->safe_psql('postgres', 'alter table admin.audit detach partition admin.audit_default');
configure($node, 'admin_ext.sinks' => 'ndjson');
ok($node->poll_query_until('postgres', q{select state = 'stopped' and last_error ~ 'table "audit_default" was detached' from admin.worker_status}), 'the default partition stops delivery as a month does')
  or diag(status($node, 'state, last_error'));
is($node->stop('fast'), 1, 'no process crashed');
done_testing();
