# A change of the configuration that no session sees: the server is restarted with it, or no worker runs.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('restart', init => { allows_streaming => 1 });
create_extension($node);
my $last;
my $changes = q{select string_agg(format('%s=%s before %s %s', payload ->> 'setting', payload ->> 'value', payload ->> 'before', payload ->> 'scope'), ', '
	order by payload ->> 'setting') from admin.audit where event_type = 'setting.changed' and audit_id > };

sub remember { $last = $node->safe_psql('postgres', q{select coalesce(max(audit_id), 0) from admin.audit}); }

# A worker that begins looks at the settings, and then sweeps for the first time.
sub settle
{
	$node->safe_psql('postgres', q{select admin.sensitive_check('APP-000001-a')});
	wait_delivered($node) or die 'not delivered';
	$node->poll_query_until('postgres', q{select swept_at is not null from admin_internal.sweep_by_worker() where database = current_database()}) or die 'no upkeep';
}

sub restart_with
{
	my (%settings) = @_;
	remember();
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") for sort keys %settings;
	$node->restart;
	settle();
}

sub changed { return $node->safe_psql('postgres', "$changes$last"); }

remember();
restart_with();
is(changed(), '', 'the first restart leaves no event');
restart_with('admin_ext.require_verified_jwt' => 'off', 'admin_ext.retention' => '1 year', 'admin_ext.on_divergence' => 'fork', 'work_mem' => '5MB');
is(changed(), 'admin_ext.on_divergence=fork before stop start, admin_ext.require_verified_jwt=off before on start, admin_ext.retention=1 year before 7 years start',
	'a restart that weakens settings leaves an event for each');
is($node->safe_psql('postgres', "select distinct actor from admin.audit where event_type = 'setting.changed' and audit_id > $last"), $node->safe_psql('postgres', 'select current_user'),
	'the actor of the events of a restart is the role of the worker');
ok(log_count($node, qr/"admin_ext.retention" was changed to "1 year" \(start\)/) == 1, 'the log has one line for the retention that a restart has weakened');
restart_with();
is(changed(), '', 'a restart without changes leaves no event');
restart_with('admin_ext.require_verified_jwt' => 'on', 'admin_ext.retention' => '7 years');
is(changed(), '', 'a restart that strengthens settings leaves no event');
restart_with('admin_ext.retention' => '6 years');
is(changed(), 'admin_ext.retention=6 years before 7 years start', 'a restart that weakens a setting compares it with the value that was strengthened');

# After a reload there is nothing left for the restart to say.
remember();
configure($node, 'admin_ext.archive_required' => 'on');
$node->poll_query_until('postgres', q{select value = 'on' from admin_internal.setting_seen where name = 'admin_ext.archive_required'}) or die 'not seen';
configure($node, 'admin_ext.archive_required' => 'off');
ok($node->poll_query_until('postgres', "select ($changes$last) = 'admin_ext.archive_required=off before on reload'"), 'a reload is an event') or diag(changed());
restart_with();
is(changed(), '', 'a restart after a reload leaves no event of its own');

# Libraries that every session loads.
restart_with('shared_preload_libraries' => 'admin_ext,auto_explain', 'session_preload_libraries' => 'auto_explain');
is(changed(), 'session_preload_libraries=auto_explain before  start, shared_preload_libraries=admin_ext,auto_explain before admin_ext start', 'libraries that are preloaded are watched');
remember();
configure($node, 'session_preload_libraries' => '');
ok($node->poll_query_until('postgres', "select ($changes$last) = 'session_preload_libraries= before auto_explain reload'"), 'a reload that changes session_preload_libraries is an event') or diag(changed());

# What a database sets has the event of its command, and no other one at a restart.
$node->safe_psql('postgres', 'alter database postgres set admin_ext.require_verified_jwt = off');
restart_with();
is(changed(), '', 'a setting of the database is no change of the configuration');
$node->safe_psql('postgres', 'alter database postgres reset all');

# A change while no worker runs is found by the next one.
configure($node, 'admin_ext.sinks' => '');
$node->poll_query_until('postgres', 'select count(*) = 0 from admin.worker_status') or die 'the worker stays';
remember();
configure($node, 'admin_ext.require_verified_jwt' => 'off');
$node->poll_query_until('postgres', q{select setting = 'off' from pg_settings where name = 'admin_ext.require_verified_jwt'}) or die 'not off';
is(changed(), '', 'without a worker a reload leaves no event');
configure($node, 'admin_ext.sinks' => 'ndjson');
ok($node->poll_query_until('postgres', "select ($changes$last) = 'admin_ext.require_verified_jwt=off before on start'"), 'a worker that begins leaves the event of a reload that no worker has seen') or diag(changed());

# While the library is not loaded nothing is seen.
remember();
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nadmin_ext.retention = '5 years'");
$node->restart;
$node->safe_psql('postgres', 'select 1');
restart_with('shared_preload_libraries' => 'admin_ext,auto_explain');
is(changed(), 'admin_ext.retention=5 years before 6 years start', 'what was changed while the library was not loaded is found as well');

# Restoring for every session refuses rows of the extension; its event is written all the same.
remember();
$node->append_conf('postgresql.conf', "admin_ext.restoring = on");
$node->restart;
ok($node->poll_query_until('postgres', "select ($changes$last) like '%admin_ext.restoring=on before off start%'"), 'restoring for every session is an event') or diag(changed());
is($node->safe_psql('postgres', q{select value from admin_internal.setting_seen where name = 'admin_ext.restoring'}), 'on', 'the worker remembers that restoring is on for every session');
restart_with('admin_ext.restoring' => 'off');
is(changed(), '', 'a restart that turns restoring off for every session leaves no event');

# A standby writes nothing; promoted, it compares its own configuration.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('restart_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "admin_ext.retention = '4 years'\nadmin_ext.on_divergence = 'stop'\nadmin_ext.ndjson_directory = 'elsewhere'");
$standby->start;
remember();
is($standby->safe_psql('postgres', "$changes$last"), '', 'a standby leaves no event');
$standby->promote;
ok($standby->poll_query_until('postgres', "select ($changes$last) is not null"), 'a standby that was promoted has another configuration');
is($standby->safe_psql('postgres', "$changes$last"), 'admin_ext.on_divergence=stop before fork start, admin_ext.retention=4 years before 5 years start', 'the events of the promoted standby name on_divergence and retention');
$standby->stop;

# Settings that the worker pins for itself: in the file, whatever their type.
restart_with('session_replication_role' => 'origin', 'admin_ext.retention' => '4 years');
is(changed(), 'admin_ext.retention=4 years before 5 years start', 'a pinned setting with its usual value in the file is no event, and the others are compared');
restart_with('session_replication_role' => 'Replica', 'allow_system_table_mods' => 'yes', 'admin_ext.retention' => '3 years');
is(changed(), 'admin_ext.retention=3 years before 4 years start, allow_system_table_mods=on before off start, session_replication_role=replica before origin start',
	'a pinned setting with another value in the file is an event');
restart_with('session_replication_role' => 'origin', 'allow_system_table_mods' => 'off');
is(changed(), 'session_replication_role=origin before replica start', 'a restart that puts session_replication_role back to origin is an event');

# On the command line, which wins over the file.
my $commanded = '-c admin_ext.restoring=on -c allow_system_table_mods=on -c session_replication_role=replica';
my $pinned = 'allow_system_table_mods=on before off start, session_replication_role=replica before origin start';
remember();
$node->stop;
command_ok([ 'pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', "--cluster-name=restart $commanded", 'start' ], 'the server starts with settings on its command line');
$node->_update_pid(1);
ok($node->poll_query_until('postgres', "select ($changes$last) = 'admin_ext.restoring=on before off start, $pinned'"), 'each setting on the command line of the server is an event') or diag(changed());
configure($node, 'session_replication_role' => 'local', 'admin_ext.restoring' => 'off', 'admin_ext.retention' => '2 years');
ok($node->poll_query_until('postgres', "select ($changes$last) = 'admin_ext.restoring=on before off start, admin_ext.retention=2 years before 3 years reload, $pinned'"), 'a reload does not change the settings of the command line') or diag(changed());
# Not restart(): that keeps the command line.
remember();
$node->stop;
$node->start;
settle();
is(changed(), 'session_replication_role=local before replica start', 'after a start without settings on the command line the value in the file is an event');
remember();
configure($node, 'session_replication_role' => 'replica', 'allow_system_table_mods' => 'on');
ok($node->poll_query_until('postgres', "select ($changes$last) = 'allow_system_table_mods=on before off reload, session_replication_role=replica before local reload'"),
	'after a start without settings on the command line a reload of the file is an event') or diag(changed());
is(log_count($node, qr/could not compare settings/), 0, 'no comparison has failed');
configure($node, 'session_replication_role' => 'origin', 'allow_system_table_mods' => 'off');

# A trail that begins again has no history.
$node->append_conf('postgresql.conf', "admin_ext.retention = '1 year'");
$node->safe_psql('postgres', 'drop extension admin_ext cascade');
$node->reload;
$node->poll_query_until('postgres', q{select setting = '1 year' from pg_settings where name = 'admin_ext.retention'}) or die 'not reloaded';
create_extension($node);
remember();
configure($node, 'work_mem' => '6MB');
restart_with();
is(changed(), '', 'a trail that was made again knows the configuration that it was made under');
$node->stop;
done_testing();
