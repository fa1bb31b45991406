# resync_sink: what an operator may do, what a superuser may do, and what the trail says of it afterwards.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('resync', conf => "admin_ext.retry_backoff_max = '300ms'\n");
my $data = $node->data_dir;
my $files = "$data/admin_ext";
create_extension($node);
$node->safe_psql('postgres', q{set client_min_messages = error;
	create role ops login; select admin.grant_access('ops', 'operator');
	create role aud login; select admin.grant_access('aud', 'auditor')});
my $check = "select admin.sensitive_check('APP-100001-abcd')";
append_to_file("$data/blocked", '');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub check { sql($check) for 1 .. $_[0] }

sub as_role
{
	my ($role, $sql) = @_;
	my ($rc, $out, $error) = $node->psql('postgres', $sql, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? $out : $error;
}

# The sink is down: it cannot make its directory.
sub take_down
{
	my ($name) = @_;
	configure($node, 'admin_ext.ndjson_directory' => 'blocked/below');
	ok(wait_status($node, 'backing_off'), $name);
}

sub bring_up
{
	my ($name) = @_;
	configure($node, 'admin_ext.ndjson_directory' => 'admin_ext');
	ok(wait_settled($node), $name);
}

# Which audit_ids are in the files, in order, with how often if more than once.
sub sent
{
	my %count;
	$count{$_}++ for map { /"auditid":"(\d+)"/ } ndjson_lines($files);
	return join ' ', map { $count{$_} > 1 ? "$_*$count{$_}" : $_ } sort { $a <=> $b } keys %count;
}

sub statuses
{
	return sql(q{select string_agg(audit_id || ' ' || sink_status, ', ' order by audit_id) from admin.audit_delivery} . ($_[0] // ''));
}

sub proposal { return as_role($_[1] // 'ops', "select from_audit_id from admin.resync_proposal('$_[0]')") }

# N1: an operator cannot hide rows that wait in an outage; a superuser can, and it shows for ever.
check(1);
ok(wait_delivered($node), 'three rows are delivered: two of grant_access, and a check');
take_down('the sink is down before an operator tries to skip rows');
my $chain = sql(q{select encode(chain, 'hex') from admin.delivery_chain('ndjson')});
check(4);
my $refused = as_role('ops', q{select admin.resync_sink('ndjson', 8)});
like($refused, qr/42501.*must be superuser to skip rows of the audit trail/s, 'an operator cannot skip rows');
like($refused, qr/would never get 4 rows below audit_id 8; the first is 4/, 'the error tells an operator how many rows would be skipped');
like($refused, qr/HINT:.*admin\.resync_proposal\('ndjson'\)/, 'the hint tells an operator which function to ask');
is(proposal('ndjson'), '4', 'the proposal is the first row that was not delivered');
is(proposal('ndjson', 'aud'), '4', 'an auditor may ask for the proposal');
my $operator = decode_json(as_role('ops', q{select admin.resync_sink('ndjson', 2)}));
is_deeply([ @$operator{qw(from first_undelivered sent_again skipped)} ], [ 2, 4, 2, 0 ], 'an operator may send rows again');
is(sql(q{select actor || ' ' || payload::text from admin.audit where event_type = 'sink.resynced'}),
	'ops {"sink" : "ndjson", "from" : 2, "first_undelivered" : 4, "sent_again" : 2, "skipped" : 0, "old_store_id" : "'
	. "$operator->{store_id}\", \"new_store_id\" : \"$operator->{store_id}\", \"old_last_number\" : 3, \"old_chain\" : \"$chain\"}",
	'sink.resynced names operator, sink, rows and store, and where the chain ended');
is(statuses(), '1 delivered, 2 pending, 3 pending, 4 pending, 5 pending, 6 pending, 7 pending, 8 pending', 'rows that are sent again are pending');
is(proposal('ndjson'), '4', 'the proposal sends nothing again that was delivered before');
my $skip = decode_json(sql(q{select admin.resync_sink('ndjson', 6)}));
is_deeply([ @$skip{qw(from first_undelivered sent_again skipped)} ], [ 6, 4, 0, 2 ], 'a superuser may skip rows');
is(statuses(), '1 delivered, 2 delivered, 3 delivered, 4 skipped, 5 skipped, 6 pending, 7 pending, 8 pending, 9 pending',
	'skipped rows are never called delivered, and rows that were delivered are never called skipped');
bring_up('no row is pending after a superuser skipped rows');
is(sent(), '1 2 3 6 7 8 9', 'the skipped rows are in no file, the event of the resync is');
is(statuses(' where audit_id in (4, 5)'), '4 skipped, 5 skipped', 'skipped rows stay skipped when the sink is up again');
sql('vacuum full admin.sink_position; vacuum full admin.tick');
check(70);
ok($node->poll_query_until('postgres', q{select count(*) = 2 from admin.audit_delivery where sink_status <> 'delivered'}), 'skipped rows are still not delivered after positions were purged');

# A partition with skipped rows is not dropped; sent again, they are delivered.
my $old = q{select admin_internal.is_skipped(p.sink, a.audit_id, a.xid) from admin.audit as a, admin_internal.sink_newest_position() as p where a.audit_id = 4};
is(sql($old), 't', 'is_skipped() says that a skipped row is skipped');
is(as_role('ops', q{select admin.resync_proposal('nowhere')}) =~ /22023/ ? 1 : 0, 1, 'there is no proposal for an unknown sink');
my $again = decode_json(as_role('ops', q{select admin.resync_sink('ndjson', 5)}));
is_deeply([ @$again{qw(first_undelivered skipped)} ], [ undef, 0 ], 'an operator may send skipped rows');
ok(wait_delivered_but($node, 4), 'row 5 is delivered, row 4 stays skipped');
as_role('ops', q{select admin.resync_sink('ndjson', 4)});
ok(wait_delivered($node), 'sent from row 4 on, every row is delivered');
is(sql('select count(*) from admin.sink_skipped'), '0', 'no row is remembered as skipped after all were sent');

sub wait_delivered_but
{
	my ($node, $id) = @_;
	return $node->poll_query_until('postgres', qq{select array_agg(audit_id) = '{$id}' and min(sink_status) = 'skipped'
		from admin.audit_delivery where sink_status <> 'delivered'});
}

# Rows that are being sent again and were skipped before: a resync in between does not make them delivered.
take_down('the sink is down before skipped rows are sent again');
check(2);
my ($first) = split / /, sql(q{select min(audit_id) from admin.audit_delivery where sink_status = 'pending'});
sql("select admin.resync_sink('ndjson', $first + 2)");
as_role('ops', "select admin.resync_sink('ndjson', $first)");
is(proposal('ndjson'), $first, 'skipped rows that wait again are proposed');
like(as_role('ops', "select admin.resync_sink('ndjson', $first + 2)"), qr/42501/, 'an operator cannot skip rows that wait to be sent again');
sql("select admin.resync_sink('ndjson', $first + 1)");
is(sql("select string_agg(sink_status, ' ' order by audit_id) from admin.audit_delivery where audit_id between $first and $first + 1"),
	'skipped pending', 'a superuser can skip a row that waits to be sent again, and its status shows that');
as_role('ops', "select admin.resync_sink('ndjson', $first)");
bring_up('no row is pending after skipped rows were sent again');
ok(wait_delivered($node), 'everything is delivered in the end');

# No writer waits for resync_sink, however long the caller's transaction stays open, and its rows are not lost.
take_down('the sink is down before transactions stay open');
my $writer = $node->background_psql('postgres', on_error_stop => 1);
$writer->query_safe("begin; $check");
check(1);
my $open = $node->background_psql('postgres', on_error_stop => 1, extra_params => [ '-U', 'ops' ]);
my $from = proposal('ndjson');
my $asked = time();
$open->query_safe("begin; select admin.resync_sink('ndjson', $from)");
cmp_ok(time() - $asked, '<', 10, 'resync_sink does not wait for a transaction that writes');
is($node->safe_psql('postgres', "set lock_timeout = '200ms'; $check; select 1") =~ /^1$/m ? 1 : 0, 1, 'a check does not wait for an open transaction that has called resync_sink');
$writer->query_safe("$check; commit");
$open->query_safe('commit');
$_->quit for $writer, $open;
bring_up('no row is pending after the open transactions have ended');
ok(wait_delivered($node), 'all rows of the open transactions are delivered');

# The rows of the transaction that resyncs are delivered, and a transaction that has written is refused.
my $last = sql('select max(audit_id) from admin.audit');
like(as_role('ops', "begin; $check; select admin.resync_sink('ndjson', $last + 1); commit"), qr/25001.*has written to the audit trail/s,
	'a transaction that has written to the trail cannot resync');
like(as_role('ops', "select admin.sensitive_check('APP-100001-abcd'), admin.resync_sink('ndjson', $last + 1)"), qr/25001/, 'a statement that has written to the trail cannot resync');
like(as_role('ops', "begin; savepoint a; $check; release a; select admin.resync_sink('ndjson', $last + 1); commit"), qr/25001/, 'a transaction that has written to the trail in a savepoint cannot resync');
$last = sql('select max(audit_id) from admin.audit');
unlike(as_role('ops', "begin; select admin.resync_sink('ndjson', $last + 1); $check; commit"), qr/ERROR/, 'a transaction may write to the trail after it has called resync_sink');
ok(wait_delivered($node), 'what a transaction writes after it has called resync_sink is delivered');

# Numbers are not used up.
my $sequence = q{select last_value from admin.audit_audit_id_seq};
my $before = sql($sequence);
like(as_role('ops', "select admin.resync_sink('ndjson', $before + 2)"), qr/22023.*is above/s, 'a number above the next one is refused');
as_role('ops', "select admin.resync_sink('ndjson', (select last_value + 1 from admin.audit_audit_id_seq))") for 1 .. 20;
is(sql($sequence) - $before <= 40 ? 1 : 0, 1, 'twenty calls use up no more numbers than their events');

# A loaded copy: its rows have to be settled, and no lock is held for that.
my $prepared = $node->background_psql('postgres', on_error_stop => 1);
$prepared->query_safe("begin; $check");
sql('update admin.store set adopted_at = null');
my $waiting = $node->background_psql('postgres', on_error_stop => 1);
$waiting->query_until(qr/asked/, "\\echo asked\nselect admin.resync_sink('ndjson', 1);\n");
ok($node->poll_query_until('postgres', q{select count(*) = 1 from pg_stat_activity where query like 'select admin.resync_sink%' and state = 'active'}), 'a copy that was loaded waits for writers');
is($node->safe_psql('postgres', "set lock_timeout = '200ms'; $check; select 1") =~ /^1$/m ? 1 : 0, 1, 'a check does not wait while a loaded copy waits for writers');
$prepared->query_safe('commit');
$waiting->query_safe('select 1');
$_->quit for $prepared, $waiting;
ok(wait_delivered($node), 'the loaded copy is delivered from its first row on');
$node->stop;
done_testing();
