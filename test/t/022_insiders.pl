# What a superuser does by hand is in the trail: reloads, sessions of every kind, standbys, and the server's log.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('insiders', init => { allows_streaming => 1 });
create_extension($node);
create_cutover($node);
my $settings = q{select string_agg(payload ->> 'setting' || '=' || (payload ->> 'value') || ' ' || (payload ->> 'scope'), ', ' order by audit_id)
	from admin.audit where event_type = 'setting.changed'};

# A reload that weakens a setting is noticed by the worker, once; one that strengthens it is no news.
configure($node, 'admin_ext.require_verified_jwt' => 'off');
ok($node->poll_query_until('postgres', "select ($settings) = 'admin_ext.require_verified_jwt=off reload'"), 'a reload that needs no tokens any more is an event')
  or diag($node->safe_psql('postgres', $settings));
configure($node, 'admin_ext.require_verified_jwt' => 'on');
ok($node->poll_query_until('postgres', q{select setting = 'on' from pg_settings where name = 'admin_ext.require_verified_jwt'}), 'a reload turns admin_ext.require_verified_jwt on again');
# The worker reads its configuration before it delivers: it has seen that, too.
$node->safe_psql('postgres', q{select admin.sensitive_check('APP-000001-a')});
ok(wait_delivered($node), 'the worker delivers after the reload that turned tokens on again');
$node->safe_psql('postgres', 'alter system set admin_ext.require_verified_jwt = off');
$node->reload;
ok($node->poll_query_until('postgres', "select ($settings) like '%off reload, admin_ext.require_verified_jwt=off system, admin_ext.require_verified_jwt=off reload'"),
	'ALTER SYSTEM and its reload are two events') or diag($node->safe_psql('postgres', $settings));
$node->safe_psql('postgres', 'alter system reset admin_ext.require_verified_jwt');
$node->reload;

# Sessions that inherit a setting leave no event each; a session that sets it by its options does.
$node->safe_psql('postgres', 'alter database postgres set admin_ext.require_verified_jwt = off');
my $before = $node->safe_psql('postgres', 'select count(*) from admin.audit');
$node->safe_psql('postgres', 'select 1') for 1 .. 3;
is($node->safe_psql('postgres', 'select count(*) from admin.audit'), $before, 'a setting of the database is one event, not one for each session');
$node->safe_psql('postgres', 'alter database postgres reset admin_ext.require_verified_jwt');
{
	local $ENV{PGOPTIONS} = '-c admin_ext.restoring=on';
	$node->safe_psql('postgres', 'select 1');
}
like($node->safe_psql('postgres', $settings), qr/admin_ext.restoring=on session\z/, 'restoring by the options of a session is an event');

# Libraries that the client of a session chooses; where sessions are read-only from their first transaction on, the next one that is not writes the event.
my $chosen = q{select count(*) from admin.audit where event_type = 'setting.changed' and payload ->> 'setting' = 'session_preload_libraries'};
my $chosen_line = qr/"session_preload_libraries" was changed to "auto_explain" \(session\)/;
my $with_library = sub {
	my ($statements) = @_;
	{
		local $ENV{PGOPTIONS} = '-c session_preload_libraries=auto_explain';
		$node->safe_psql('postgres', $statements);
	}
	return $node->safe_psql('postgres', $chosen) . ' ' . log_count($node, $chosen_line);
};
is($with_library->('select 1'), '1 1', 'libraries by the options of a session are an event, and a line of the log');
like($node->safe_psql('postgres', $settings), qr/session_preload_libraries=auto_explain session\z/, 'the event names the libraries that a session loads by its options');
configure($node, 'default_transaction_read_only' => 'on');
$node->poll_query_until('postgres', q{select setting = 'on' from pg_settings where name = 'default_transaction_read_only'}) or die 'not read-only';
is($with_library->('select 1'), '1 2', 'a read-only session with libraries leaves a line of the log, but no event');
is($with_library->('begin read write; rollback; begin read write; commit; begin read write; commit'), '2 3', 'a session with libraries whose later transactions may write leaves one event');
configure($node, 'default_transaction_read_only' => 'off');
$node->poll_query_until('postgres', q{select setting = 'off' from pg_settings where name = 'default_transaction_read_only'}) or die 'still read-only';
$node->safe_psql('postgres', 'alter database postgres set session_preload_libraries = auto_explain');
$node->safe_psql('postgres', 'select 1');
like($node->safe_psql('postgres', $settings), qr/session_preload_libraries=auto_explain database postgres\z/, 'libraries of the database are the event of ALTER DATABASE alone');
$node->safe_psql('postgres', 'alter database postgres reset session_preload_libraries');

# restoring that was left on for a database.
$node->safe_psql('postgres', 'alter database postgres set admin_ext.restoring = on');
my ($rc, undef, $error) = $node->psql('postgres', q{select admin.issue_approval('pay', '{r}', now() + interval '1 day', requested_by => 'me')});
like($error, qr/cannot run while admin_ext.restoring is on/, 'no approval is issued while restoring was left on');
$node->safe_psql('postgres', 'alter database postgres reset admin_ext.restoring');

# From another database no command leaves an event here: readiness reads what is there now.
$node->safe_psql('postgres', q{create role desk; create role clerk login; create role page login noinherit; select admin.grant_access('desk', 'operator')});
$node->safe_psql('template1', 'grant desk to clerk; grant clerk to page; alter role clerk set admin_ext.require_action_policy = off');
my $detail = q{select (admin_internal.readiness_%s(admin_internal.find_in_store())).*};
like($node->safe_psql('postgres', sprintf($detail, 'e1')), qr/^pass\|.*; by membership: clerk has operator of desk, page has operator of desk$/, 'E1 names who has access as a member');
configure($node, 'admin_ext.require_action_policy' => 'on');
ok($node->poll_query_until('postgres', q{select setting = 'on' from pg_settings where name = 'admin_ext.require_action_policy'}), 'actions need a policy');
like($node->safe_psql('postgres', sprintf($detail, 'f3')), qr/^fail\|admin_ext.require_action_policy is off for role clerk; run ALTER ROLE clerk RESET/, 'F3 names a role that needs no policy');
$node->safe_psql('postgres', 'alter role clerk reset all');
like($node->safe_psql('postgres', sprintf($detail, 'f3')), qr/^pass\|/, 'F3 passes after the settings of that role are reset');
configure($node, 'admin_ext.require_action_policy' => 'off');

# Events are delivered like any other, and the log has a line of each.
$node->safe_psql('postgres', 'alter table admin.audit disable trigger audit_append_only');
$node->safe_psql('postgres', 'alter table admin.audit enable always trigger audit_append_only');
ok(wait_delivered($node), 'the events of disabling and enabling a trigger are delivered');
is(scalar(grep { /"type":"ptt\.admin\.guard\.changed"/ && /able (always )?trigger audit_append_only/ } ndjson_lines($node->data_dir . '/admin_ext')), 2,
	'the file has the events of disabling and enabling a trigger');
is(log_count($node, qr/ALTER TABLE by "\w+" changed what guards the audit trail: admin.audit/), 2, 'the log has a line for each ALTER TABLE that disables or enables a trigger');
$node->psql('postgres', 'begin; alter table admin.audit disable trigger audit_append_only; rollback');
is(log_count($node, qr/ALTER TABLE by "\w+" changed what guards the audit trail: admin.audit/), 3, 'the log has a line for an ALTER TABLE that was rolled back');
is($node->safe_psql('postgres', q{select count(*) from admin.audit where event_type = 'guard.changed' and payload ->> 'command' = 'ALTER TABLE'}), 2, 'the trail has no event for an ALTER TABLE that was rolled back');

# The function in C of an extension comes with the extension.  pg_surgery removes rows, and no trigger hears of it.
my $guards = q{select string_agg((payload ->> 'command') || ' ' || (payload ->> 'object'), ', ' order by audit_id) from admin.audit where event_type = 'guard.changed'};
my $guards_before = $node->safe_psql('postgres', $guards);
$node->safe_psql('postgres', 'create schema app');
$node->safe_psql('postgres', 'create extension pg_surgery schema app');
is($node->safe_psql('postgres', $guards), $guards_before, 'an extension with functions in C is no event');
$node->safe_psql('postgres', q{create or replace function app.heap_force_kill(reloid regclass, tids tid[]) returns void language c strict as '$libdir/pg_surgery', 'heap_force_kill'});
like($node->safe_psql('postgres', $guards), qr/CREATE FUNCTION app[.]heap_force_kill\([^)]*\)\z/, 'replacing a function of an extension by hand is an event');
$node->safe_psql('postgres', q{create table app.killed as select n from generate_series(1, 3) as n});
$node->safe_psql('postgres', q{begin; select app.heap_force_kill('app.killed', array['(0,1)'::tid]); rollback; select 1});
is($node->safe_psql('postgres', 'select count(*) from app.killed'), 2, 'a rollback does not bring the row back that was removed');
like($node->safe_psql('postgres', $guards), qr/[^,]* app[.]heap_force_kill\([^)]*\)\z/, 'a call of heap_force_kill() that was rolled back is an event of the next transaction');
$node->safe_psql('postgres', q{select app.heap_force_kill('app.killed', array['(0,2)'::tid]) from generate_series(1, 3)});
is(log_count($node, qr/heap_force_kill by "\w+" changed what guards/), 2, 'a query that calls heap_force_kill() for several rows has one line in the log');
$node->safe_psql('postgres', 'drop extension pg_surgery; drop schema app cascade');

# A receipt is deleted together with its event, before the event is delivered.  Whoever deletes has to switch guards off, which leaves
# events at commit.  Another transaction can delete them, too, but not those of switching the guards on again; and guards that stay off
# are named by readiness.
my @guarded = (
	['admin.archive_receipt', qw(receipt_append_only receipt_append_only_statement bookkeeping bookkeeping_truncate)],
	['admin_internal.archive_base', qw(bookkeeping bookkeeping_truncate)],
	['admin.audit', qw(audit_append_only audit_append_only_statement)]);
my $switch = sub {
	my ($how) = @_;
	return join('', map { my ($table, @triggers) = @$_; "alter table $table " . join(', ', map { "$how trigger $_" } @triggers) . ";\n" } @guarded);
};
my $delete = q{delete from admin.archive_receipt; delete from admin_internal.archive_base; delete from admin.audit where audit_id > %s;};
configure($node, 'admin_ext.sinks' => '');
$node->poll_query_until('postgres', 'select count(*) = 0 from admin.worker_status') or die 'the worker stays';
my $last = $node->safe_psql('postgres', 'select max(audit_id) from admin.audit');
my $receive = q{select admin.record_receipt(store_id, 'ndjson', last_number, chain, sha256('seal'), now() + interval '7 years', 's3://bucket/1') from admin.delivery_chain('ndjson')};
$node->safe_psql('postgres', $receive);
is($node->safe_psql('postgres', "select count(*) from admin.audit where audit_id > $last and event_type = 'archive.receipt'"), 1, 'a receipt has an event that is not delivered yet');
$node->safe_psql('postgres', $switch->('disable') . sprintf($delete, $last) . $switch->('enable always'));
is($node->safe_psql('postgres', "select count(*) from admin.archive_receipt"), 0, 'a superuser has deleted the receipt');
is($node->safe_psql('postgres', "select count(*) from admin.audit where audit_id > $last and (event_type = 'archive.receipt' or payload ->> 'text' ~ 'disable trigger')"), 0,
	'a superuser has deleted the event of the receipt, and those of disabling the guards');
configure($node, 'admin_ext.sinks' => 'ndjson');
ok(wait_delivered($node), 'the events that the superuser did not delete are delivered');
foreach my $guarded (@guarded)
{
	is(scalar(grep { /"type":"ptt\.admin\.guard\.changed"/ && /alter table \Q$guarded->[0]\E enable always trigger/ } ndjson_lines($node->data_dir . '/admin_ext')),
		$guarded->[0] eq 'admin.audit' ? 2 : 1, "a sink has the event of switching the guards of $guarded->[0] on again");
}
$node->safe_psql('postgres', $receive);
$last = $node->safe_psql('postgres', "select max(audit_id) - 1 from admin.audit where event_type = 'archive.receipt'");
$node->safe_psql('postgres', $switch->('disable') . sprintf($delete, $last));
is($node->safe_psql('postgres', "select string_agg(payload ->> 'command', ' ') from admin.audit where audit_id > $last"), 'DELETE',
	'a superuser who leaves the guards off leaves the event of what he deleted alone');
my $named = $node->safe_psql('postgres', "select string_agg(detail, ' ') from admin.cutover_readiness where item in ('A2', 'A4', 'A5') and status = 'fail'");
like($named, qr/$_/, "readiness names the guards of $_") foreach qw(archive_receipt audit_append_only);
$node->safe_psql('postgres', $switch->('enable always'));
ok(wait_delivered($node), 'every row is delivered after the guards are enabled again');

# A standby cannot write: settings change there all the same.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('insiders_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', q{set admin_ext.require_verified_jwt = off; set admin_ext.restoring = on; select 1}), 1, 'a session of a standby changes settings without an error');
is(($standby->psql('postgres', 'alter table admin.audit disable trigger audit_append_only'))[0], 3, 'DDL on the audit trail fails on a standby as usual');
$standby->stop;

# While the library is not loaded no command leaves an event: a worker finds what was changed when it begins.
my $looks = q{select string_agg(format('found %s gone %s', payload -> 'found', payload -> 'gone'), '; ' order by audit_id)
	from admin.audit where payload ->> 'command' = 'admin_internal.look_at_reach()' and audit_id > };
sub without_library
{
	my ($statements) = @_;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	$node->safe_psql('postgres', $statements);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'admin_ext'");
	$node->restart;
}
ok($node->poll_query_until('postgres', "select ($looks 0) = 'found [\"membership of clerk in desk\",\"membership of page in clerk\"] gone []'"),
	'a worker that began has looked at memberships and stored settings, also at what was changed from another database');
$last = $node->safe_psql('postgres', 'select max(audit_id) from admin.audit');
without_library(q{create role mole login; grant desk to mole; alter role mole set admin_ext.require_verified_jwt = off});
ok($node->poll_query_until('postgres', "select ($looks$last) is not null"), 'a worker that begins looks again at memberships and stored settings');
is($node->safe_psql('postgres', "$looks$last"), 'found ["admin_ext.require_verified_jwt=off for role mole","membership of mole in desk"] gone []',
	'what was changed without the library is in the trail');
without_library(q{revoke desk from mole; alter role mole reset all});
ok($node->poll_query_until('postgres', "select ($looks$last) like '%; %'"), 'what was revoked or reset without the library is a second event in the trail');
like($node->safe_psql('postgres', "$looks$last"), qr/; found \[\] gone \["admin_ext.require_verified_jwt=off for role mole","membership of mole in desk"\]\z/, 'the second event names what was revoked or reset without the library, nothing else');

# Another extension that puts functions into pg_catalog is one event; one that has a schema of its own leaves none.
my $commands = q{select string_agg(payload ->> 'command', ' ' order by audit_id) from admin.audit where event_type = 'guard.changed' and audit_id > };
$last = $node->safe_psql('postgres', 'select max(audit_id) from admin.audit');
$node->safe_psql('postgres', 'create extension refint schema pg_catalog; drop extension refint');
is($node->safe_psql('postgres', "$commands$last"), 'CREATE EXTENSION DROP EXTENSION', "another extension's functions in pg_catalog are one event");
$last = $node->safe_psql('postgres', 'select max(audit_id) from admin.audit');
$node->safe_psql('postgres', 'create extension refint schema public; drop extension refint');
is($node->safe_psql('postgres', "$commands$last"), '', 'another extension in a schema outside pg_catalog leaves no event');

# The extension goes, and the trail with it.
$node->safe_psql('postgres', 'drop extension admin_ext cascade');
is(log_count($node, qr/DROP EXTENSION by "\w+" changed what guards the audit trail: admin_ext/), 1, 'DROP EXTENSION has its line in the log');
is($node->safe_psql('postgres', 'set admin_ext.require_verified_jwt = off; create table t (); drop table t; select 1'), 1, 'without the extension nothing is in the way');
$node->stop;

# Without shared_preload_libraries: from the moment a session has loaded the library.
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->start;
create_extension($plain);
is($plain->safe_psql('postgres', q{select admin_internal.requires_tokens(); alter table admin.audit disable trigger audit_append_only;
	alter table admin.audit enable always trigger audit_append_only; select count(*) from admin.audit where event_type = 'guard.changed'}), "t\n2",
	'a session that has called the extension leaves events');
$plain->safe_psql('postgres', 'update admin.store set adopted_at = now()');
is($plain->safe_psql('postgres', q{select payload ->> 'relation' from admin.audit where event_type = 'row.updated'}), 'admin.store', 'a session that has called the extension leaves an event when it updates admin.store');
$plain->stop;
done_testing();
