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
my $settings = q{select string_agg(payload ->> 'setting' || '=' || (payload ->> 'value') || ' ' || (payload ->> 'scope'), ', ' order by audit_id)
	from admin.audit where event_type = 'setting.changed'};

# A reload that weakens a setting is noticed by the worker, once; one that strengthens it is no news.
configure($node, 'admin_ext.require_verified_jwt' => 'off');
ok($node->poll_query_until('postgres', "select ($settings) = 'admin_ext.require_verified_jwt=off reload'"), 'a reload that needs no tokens any more is an event')
  or diag($node->safe_psql('postgres', $settings));
configure($node, 'admin_ext.require_verified_jwt' => 'on');
ok($node->poll_query_until('postgres', q{select setting = 'on' from pg_settings where name = 'admin_ext.require_verified_jwt'}), 'it is on again');
# The worker reads its configuration before it delivers: it has seen that, too.
$node->safe_psql('postgres', q{select admin.sensitive_check('APP-000001-a')});
ok(wait_delivered($node), 'and the worker knows');
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

# restoring that was left on for a database.
$node->safe_psql('postgres', 'alter database postgres set admin_ext.restoring = on');
my ($rc, undef, $error) = $node->psql('postgres', q{select admin.issue_approval('pay', '{r}', now() + interval '1 day', requested_by => 'me')});
like($error, qr/cannot run while admin_ext.restoring is on/, 'no approval is issued while restoring was left on');
$node->safe_psql('postgres', 'alter database postgres reset admin_ext.restoring');

# Events are delivered like any other, and the log has a line of each.
$node->safe_psql('postgres', 'alter table admin.audit disable trigger audit_append_only');
$node->safe_psql('postgres', 'alter table admin.audit enable always trigger audit_append_only');
ok(wait_delivered($node), 'delivered');
is(scalar(grep { /"type":"ptt\.admin\.guard\.changed"/ && /able (always )?trigger audit_append_only/ } ndjson_lines($node->data_dir . '/admin_ext')), 2,
	'both commands are in the file');
is(log_count($node, qr/ALTER TABLE by "\w+" changed what guards the audit trail: admin.audit/), 2, 'and in the log');
$node->psql('postgres', 'begin; alter table admin.audit disable trigger audit_append_only; rollback');
is(log_count($node, qr/ALTER TABLE by "\w+" changed what guards the audit trail: admin.audit/), 3, 'the log has one that was rolled back, too');
is($node->safe_psql('postgres', q{select count(*) from admin.audit where event_type = 'guard.changed'}), 2, 'the trail has not');

# A standby cannot write: settings change there all the same.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('insiders_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', q{set admin_ext.require_verified_jwt = off; set admin_ext.restoring = on; select 1}), 1, 'a session of a standby changes settings without an error');
is(($standby->psql('postgres', 'alter table admin.audit disable trigger audit_append_only'))[0], 3, 'DDL fails there as usual');
$standby->stop;

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
is($plain->safe_psql('postgres', q{select admin.requires_tokens(); alter table admin.audit disable trigger audit_append_only;
	alter table admin.audit enable always trigger audit_append_only; select count(*) from admin.audit where event_type = 'guard.changed'}), "t\n2",
	'a session that has called the extension leaves events');
$plain->safe_psql('postgres', 'update admin.store set adopted_at = now()');
is($plain->safe_psql('postgres', q{select payload ->> 'relation' from admin.audit where event_type = 'row.updated'}), 'admin.store', 'and so does any change of the books');
$plain->stop;
done_testing();
