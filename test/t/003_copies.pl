# Which copy of the data is this: standby, promotion, lost commits, dump and restore.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $shared = PostgreSQL::Test::Utils::tempdir();
my $check = "select admin.sensitive_check('APP-100001-abcd')";
my $node = new_node('primary', init => { allows_streaming => 1 });
create_extension($node);
$node->safe_psql('postgres', $check) for 1 .. 5;
ok(wait_delivered($node), 'the primary delivers');

# A hot standby answers previews, refuses checks, and delivers nothing.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', $check) for 1 .. 5;
ok(wait_delivered($node), 'the primary goes on delivering while a standby runs');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "select admin.sensitive_check_preview('APP-100001-abcd') ->> 'reason'"),
	'approval_not_found', 'a preview works on a standby');
my ($rc, undef, $error) = $standby->psql('postgres', $check);
like($error, qr/cannot record its answer in a read-only transaction/, 'a check on a standby is refused with a clear error');
is($standby->safe_psql('postgres', 'select count(*) from admin.worker_status where pid is not null'), 0, 'no worker runs on a standby');

# Promotion: delivery goes on where it was, in a new file beside the stale copy.
$node->stop;
$standby->promote;
$standby->safe_psql('postgres', $check) for 1 .. 3;
ok(wait_delivered($standby), 'the promoted standby takes over');
is($standby->safe_psql('postgres', 'select count(*) from admin.audit_delivery'), 13, 'audit_delivery of the promoted standby lists all 13 rows');
my @ids = map { m/"auditid":"(\d+)"/ } ndjson_lines($standby->data_dir . '/admin_ext');
is("@ids", join(' ', 1 .. 5) . ' ' . $standby->safe_psql('postgres', q{select string_agg(audit_id::text, ' ' order by audit_id)
	from admin.audit where audit_id > 10}), 'a promoted standby writes only its own rows, each once, beside those of the backup');
like(slurp_file($standby->logfile), qr/adopted by system/, 'the change of timeline is logged');
$standby->restart;
$standby->safe_psql('postgres', $check);
ok(wait_delivered($standby), 'a promoted standby delivers after a restart');

# An older copy of the data over files that are ahead of it: commits were lost.
my $ahead = new_node('ahead', init => { allows_streaming => 1 }, conf => "admin_ext.ndjson_directory = '$shared/files'");
create_extension($ahead);
$ahead->safe_psql('postgres', $check) for 1 .. 3;
ok(wait_delivered($ahead), 'delivered before the backup');
$ahead->backup('old');
$ahead->safe_psql('postgres', $check) for 1 .. 4;
ok(wait_delivered($ahead), 'delivered after the backup');
my $store = $ahead->safe_psql('postgres', 'select store_id from admin.store');
$ahead->stop;
my $behind = PostgreSQL::Test::Cluster->new('behind');
$behind->init_from_backup($ahead, 'old');
$behind->start;
$behind->safe_psql('postgres', $check) for 1 .. 2;
ok(wait_status($behind, 'stopped'), 'a database that lost commits delivers nothing');
like(status($behind, 'last_error'), qr/has lost \(up to audit_id 7\)/, 'last_error says up to which audit_id the sink holds lost rows');
$behind->safe_psql('postgres', "select admin.resync_sink('ndjson', 4)");
ok(wait_delivered($behind), 'resync_sink lets a database that lost commits deliver');
$behind->safe_psql('postgres', $check);
ok(wait_delivered($behind), 'rows recorded after resync_sink are delivered');
isnt($behind->safe_psql('postgres', 'select store_id from admin.store'), $store, 'a database that lost commits is another store after resync_sink');
cmp_ok($behind->safe_psql('postgres', 'select max(audit_id) from admin.audit'), '>', 7, 'after resync_sink audit_id continues above the rows that the sink holds');
my @all = map { m/"id":"(\d+)","source":"([^"]+)"/; "$2/$1" } ndjson_lines("$shared/files");
my %once = map { $_ => 1 } @all;
is(scalar(keys %once), scalar(@all), 'source and id are unique for ever');
is(scalar(@all), 7 + 4, 'the files hold 7 lines of the first store and 4 of the store resynced from row 4');

# A file that lost its end is nobody's to repair but the operator's.
my ($newest) = sort { (stat $b)[9] <=> (stat $a)[9] } glob("$shared/files/postgres-*.ndjson");
$behind->stop;
truncate $newest, 10 or die "$newest: $!";
$behind->start;
ok(wait_status($behind, 'stopped'), 'a file that is too short: stopped');
like(status($behind, 'last_error'), qr/is shorter than what was delivered to it/, 'last_error says that the file is shorter than what was delivered to it');
unlink $newest or die "$newest: $!";
$behind->restart;
$behind->safe_psql('postgres', $check);
ok(wait_delivered($behind), 'a file that is gone, into an archive say, is let go');

# Dump and restore: same data, same sequences; the copy waits.
my $dump = "$shared/dump.sql";
create_cutover($behind);
$behind->safe_psql('postgres', q{insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
	values ('APP-000001-a', 'pay', '{r,s}', 2, 'me', 'tomorrow');
	insert into admin.signature (approval_id, signer_role, signer) values ('APP-000001-a', 'r', 'you');
	select admin.sensitive_check_shadow('{}', 'APP-000001-a'), admin.record_parity_run(1, 0, 0), admin.import_approvals('[]');
	select admin.settle_shadow_difference(1, 'a test')});
ok(wait_delivered($behind), 'delivered before the dump');
$behind->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
$behind->safe_psql('postgres', 'create database restored');
my $load = [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ];
$behind->command_fails_like($load, qr/admin_ext.restoring/, 'a load without admin_ext.restoring is refused with a hint');
$behind->safe_psql('postgres', 'drop database restored');
$behind->safe_psql('postgres', 'create database restored');
{
	local $ENV{PGOPTIONS} = '-c admin_ext.restoring=on';
	$behind->command_ok($load, 'a load with admin_ext.restoring succeeds');
}
foreach my $table (qw(approval signature audit dead_letter dead_letter_retry shadow_check shadow_settled parity_run import_run))
{
	my $query = "select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from admin.$table as t" . ($table eq 'audit' ? " where event_type not in ('setting.changed', 'guard.changed')" : '');
	is($behind->safe_psql('restored', $query), $behind->safe_psql('postgres', $query), "table admin.$table is the same after dump and restore");
}
# The load has left events of its own.
cmp_ok($behind->safe_psql('restored', "select nextval('admin.audit_audit_id_seq')"), '>=',
	$behind->safe_psql('postgres', "select nextval('admin.audit_audit_id_seq')"), 'the sequence of audit_id goes on in the restored database');
is($behind->safe_psql('restored', 'select admin.record_parity_run(2, 0, 0)'), 2, 'the numbers of parity_run go on in the restored database');
is($behind->safe_psql('restored', q{select state from admin.approval where approval_id = 'APP-000001-a'}), 'signed_partial', 'an approval has the same state in the restored database');
$behind->append_conf('postgresql.conf', "admin_ext.databases = 'postgres, restored'");
$behind->reload;
ok($behind->poll_query_until('restored', q{select state = 'stopped' and last_error ~ 'loaded from a dump' from admin.worker_status where database = 'restored'}),
	'the worker of a restored store waits');
my $highest = $behind->safe_psql('restored', 'select max(audit_id) from admin.audit');
$behind->safe_psql('restored', "select admin.resync_sink('ndjson', $highest)");
$behind->safe_psql('restored', $check);
ok($behind->poll_query_until('restored', q{select count(*) = 3 from admin.audit_delivery where sink_status = 'delivered' and audit_id >= } . $highest),
	'a restored store delivers from the row given to resync_sink on');
my @restored = ndjson_lines("$shared/files", 'restored');
is(scalar(@restored), 3, 'a restored store delivers no row before the one given to resync_sink');
is($behind->safe_psql('restored', 'select distinct sink_status from admin.audit_delivery where audit_id < ' . $highest), 'skipped',
	'rows before the one given to resync_sink are shown as skipped');
$behind->stop;
$standby->stop;
done_testing();
