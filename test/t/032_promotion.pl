# A sink within the data directory is copied to standbys.  After a promotion the copy does not know
# what the server before has delivered: delivery goes on only where that can be nothing.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "select admin.sensitive_check('APP-100001-abcd')";
my $unknown = 'was not shut down before this one was promoted';

sub check
{
	my ($node, $count) = @_;
	$node->safe_psql('postgres', $check) for 1 .. $count;
}

sub standby_of
{
	my ($primary, $name) = @_;
	$primary->backup($name);
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, $name, has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby);
	return $standby;
}

sub stops
{
	my ($node, $name) = @_;
	ok($node->poll_query_until('postgres', "select state = 'stopped' and last_error ~ '$unknown' from admin.worker_status"), $name);
}

# Commits are lost: three rows that the primary has delivered never reached the standby.
my $primary = new_node('primary', init => { allows_streaming => 1 });
create_extension($primary);
check($primary, 2);
ok(wait_delivered($primary), 'rows are delivered before the standby is made');
my $standby = standby_of($primary, 'standby');
$standby->stop;
check($primary, 3);
ok(wait_delivered($primary), 'the primary delivers rows that the standby does not have');
$primary->stop;
$standby->start;
$standby->promote;
check($standby, 40);
stops($standby, 'a standby that was promoted without delivered rows stops delivery');
like(status($standby, 'last_error'), qr/admin\.resync_sink\('ndjson'/, 'last_error of the promoted standby names resync_sink');
my @lost = event_keys(ndjson_lines($primary->data_dir . '/admin_ext'));
my $store = $standby->safe_psql('postgres', 'select store_id from admin.store');
$standby->restart;
stops($standby, 'delivery of the promoted standby is stopped after a restart, too');
$standby->safe_psql('postgres', q{select admin.resync_sink('ndjson', p.from_audit_id) from admin.resync_proposal('ndjson') as p});
ok(wait_delivered($standby), 'a standby that was promoted without delivered rows delivers after resync_sink');
isnt($standby->safe_psql('postgres', 'select store_id from admin.store'), $store, 'the promoted standby is another store after resync_sink');
my %before = map { $_ => 1 } @lost[ 2 .. $#lost ];
is(scalar(grep { $before{$_} } event_keys(ndjson_lines($standby->data_dir . '/admin_ext'))), 0,
	'source and id of a lost row are never used again');
$standby->restart;
check($standby, 1);
ok(wait_delivered($standby), 'the promoted standby delivers after resync_sink and a restart');

# Nothing was delivered before the standby was made: its copy is empty.
my $empty = new_node('empty', init => { allows_streaming => 1 });
create_extension($empty);
ok(wait_status($empty, 'idle'), 'a worker has not delivered anything');
my $behind = standby_of($empty, 'behind');
$behind->stop;
check($empty, 3);
ok(wait_delivered($empty), 'the primary delivers rows that the standby with an empty copy does not have');
$empty->stop;
$behind->start;
$behind->promote;
check($behind, 1);
stops($behind, 'a standby that was promoted with an empty copy is stopped');
$store = $behind->safe_psql('postgres', 'select store_id from admin.store');
configure($behind, 'admin_ext.on_divergence' => 'fork');
ok(wait_delivered($behind), 'a standby with an empty copy goes on with admin_ext.on_divergence = fork');
isnt($behind->safe_psql('postgres', 'select store_id from admin.store'), $store, 'a standby with an empty copy that forks is another store');
my $forked = $behind->safe_psql('postgres', 'select store_id from admin.store');
$behind->restart;
check($behind, 1);
ok(wait_delivered($behind), 'a standby that has forked goes on after a restart');
is($behind->safe_psql('postgres', 'select store_id from admin.store'), $forked, 'a standby that has forked keeps its new store after a restart');
$behind->stop;

# A primary that is shut down has sent everything.
my $clean = standby_of($standby, 'clean');
check($standby, 3);
ok(wait_delivered($standby), 'the primary delivers rows before it is shut down');
$standby->wait_for_catchup($clean);
$standby->stop;
$clean->promote;
ok(wait_status($clean, 'idle'), 'after a shutdown nothing can be lost');
# Before a row is delivered: the proof is not kept for ever.
$clean->safe_psql('postgres', 'select pg_switch_wal(); checkpoint') for 1 .. 3;
$clean->restart;
check($clean, 3);
ok(wait_delivered($clean), 'the standby of a primary that was shut down delivers after a restart');

# A primary that is killed may have gone on; nothing tells.
my $next = standby_of($clean, 'next');
check($clean, 3);
ok(wait_delivered($clean), 'the next primary delivers rows before it crashes');
$clean->wait_for_catchup($next);
$clean->stop('immediate');
$next->promote;
check($next, 1);
stops($next, 'after a crash of the primary its standby cannot know what was delivered');
$next->safe_psql('postgres', q{select admin.resync_sink('ndjson', p.from_audit_id) from admin.resync_proposal('ndjson') as p});
ok(wait_delivered($next), 'the standby of a primary that crashed delivers after resync_sink');

# Unless the primary waits for it with each commit.
my $safe = standby_of($next, 'safe');
configure($next, 'synchronous_standby_names' => '*');
ok($next->poll_query_until('postgres', q{select count(*) = 1 from pg_stat_replication where sync_state = 'sync'}), 'the standby is synchronous');
check($next, 3);
ok(wait_delivered($next), 'rows are delivered with a synchronous standby');
$next->wait_for_catchup($safe);
$next->stop('immediate');
configure_stopped($safe);
$safe->promote;
check($safe, 3);
ok(wait_delivered($safe), 'a synchronous standby goes on by itself after a crash of the primary');
my @keys = event_keys(map { ndjson_lines($_->data_dir . '/admin_ext') } $safe);
is(repeated(@keys), '', 'a synchronous standby repeats no row after a crash of the primary');
$safe->stop;

sub configure_stopped
{
	my ($node) = @_;
	$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	$node->reload;
}

# A directory outside: what is shared tells, and what each server has for itself does not.
my $root = PostgreSQL::Test::Utils::tempdir();
my $sharing = new_node('sharing', init => { allows_streaming => 1 }, conf => "admin_ext.ndjson_directory = '$root/shared'\n");
create_extension($sharing);
check($sharing, 3);
ok(wait_delivered($sharing), 'rows are delivered to a directory outside the data directory');
my ($shares, $alone) = map { standby_of($sharing, $_) } qw(shares alone);
$alone->append_conf('postgresql.conf', "admin_ext.ndjson_directory = '$root/alone'");
$alone->reload;
$sharing->stop('immediate');
$alone->promote;
check($alone, 1);
stops($alone, 'a server with a directory of its own cannot know what was delivered');
$alone->stop;
$shares->promote;
check($shares, 3);
ok(wait_delivered($shares), 'a server that shares the directory of the primary goes on by itself');
is(repeated(event_keys(ndjson_lines("$root/shared"))), '', 'a server that shares the directory of the primary repeats no row');
$shares->stop;

# Restored to a point before the end.
my $archived = new_node('archived', init => { has_archiving => 1, allows_streaming => 1 });
create_extension($archived);
check($archived, 3);
ok(wait_delivered($archived), 'rows are delivered before the backup');
$archived->backup('early');
my $lsn = $archived->safe_psql('postgres', 'select pg_current_wal_lsn()');
check($archived, 3);
ok(wait_delivered($archived), 'rows are delivered after the backup');
$archived->safe_psql('postgres', 'select pg_switch_wal()');
$archived->stop;
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($archived, 'early', has_restoring => 1, standby => 0);
$restored->append_conf('postgresql.conf', "recovery_target_lsn = '$lsn'\nrecovery_target_action = 'promote'\narchive_mode = off");
$restored->start;
$restored->poll_query_until('postgres', 'select not pg_is_in_recovery()');
check($restored, 1);
stops($restored, 'a server that was restored to an earlier point stops delivery');
$restored->stop;
done_testing();
