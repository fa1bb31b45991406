# A row is not sent before every synchronous standby has it, however the primary's waiting for
# them ends; and after a failover delivery goes on by itself.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = $ENV{FAILOVER_ROUNDS} // 3;
my $files = PostgreSQL::Test::Utils::tempdir() . '/files';
# Visible at once, whatever its standbys do.
my $check = "set synchronous_commit = off; select admin.sensitive_check('APP-100001-abcd')";
my $conf = "admin_ext.ndjson_directory = '$files'\nwal_receiver_status_interval = '1s'\n";
my $one = new_node('one', init => { allows_streaming => 1 }, conf => $conf);
create_extension($one);

sub set_names
{
	my ($node, $names) = @_;
	$node->safe_psql('postgres', "alter system set synchronous_standby_names = '$names'");
	$node->reload;
}

sub auditids
{
	return join ' ', map { m/"auditid":"(\d+)"/ } ndjson_lines($files);
}

sub is_gone
{
	my ($pid) = @_;
	return poll(sub { !kill 0, $pid });
}

# Ends the postmaster; its children see that and end, too.
sub kill_server
{
	my ($node) = @_;
	my @pids = split /\n/, $node->safe_psql('postgres',
		"select pid from pg_stat_activity where backend_type ~ '^admin_ext' or backend_type in ('walsender', 'walwriter', 'checkpointer')");
	$node->kill9;
	return !grep { !is_gone($_) } @pids;
}

# Nobody confirms.
$one->safe_psql('postgres', $check) for 1 .. 2;
ok(wait_delivered($one), 'without synchronous standbys rows are delivered');
my $before = auditids();
set_names($one, 'nosuch');
for my $round (1 .. 3)
{
	$one->safe_psql('postgres', $check);
	ok(wait_status($one, 'backing_off'), "round $round: rows wait for a synchronous standby that is not there");
	like(status($one, 'last_error'), qr/^no synchronous standby has confirmed .* \("nosuch"\)/, "round $round: last_error names the standby that has not confirmed");
	ok(poll(sub { status($one, 'lag_rows') == $round }), "round $round: the rows that wait for a standby are counted");
	is(auditids(), $before, "round $round: no row is sent without a standby that confirms");
	ok(kill_server($one), "round $round: the postmaster is killed");
	is(auditids(), $before, "round $round: no row is sent when the postmaster is killed");
	$one->start;
}
$one->safe_psql('postgres', 'select pg_cancel_backend(pid), pg_terminate_backend(pid) from admin.worker_status where pid is not null');
$one->safe_psql('postgres', $check);
ok(wait_status($one, 'backing_off'), 'rows wait for a standby after the worker was told to end');
is(auditids(), $before, 'a worker that is told to end sends no row, and the next one does not either');
set_names($one, '');
ok(wait_delivered($one), 'rows are delivered when no synchronous standby is asked for any more');

# One that is there, and stops for a while.
my $two;

sub add_standby
{
	my ($primary, $name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$primary->backup("for_$name", backup_options => [ '--checkpoint', 'fast' ]);
	$node->init_from_backup($primary, "for_$name", has_streaming => 1);
	$node->start;
	return $node;
}

# Stops or continues what receives the WAL.
sub signal_receiver
{
	my ($node, $signal) = @_;
	kill $signal, $node->safe_psql('postgres', 'select pid from pg_stat_wal_receiver') or die 'no receiver';
}

$two = add_standby($one, 'two');
foreach my $names ('two', 'FIRST 1 (nosuch, two)', 'ANY 1 (nosuch, two)', '*')
{
	set_names($one, $names);
	$one->safe_psql('postgres', "select admin.sensitive_check('APP-100001-abcd')");
	ok(wait_delivered($one), "$names: rows are delivered while the standby confirms");
	signal_receiver($two, 'STOP');
	$one->safe_psql('postgres', $check);
	ok(wait_status($one, 'backing_off'), "$names: what the standby has not got waits");
	signal_receiver($two, 'CONT');
	ok(wait_delivered($one), "$names: every row is delivered when the standby has it");
}
$one->safe_psql('postgres', q{alter system set synchronous_commit = 'remote_apply'});
set_names($one, 'two');
$one->safe_psql('postgres', "select admin.sensitive_check('APP-100001-abcd')");
ok(wait_delivered($one), 'remote_apply: rows are delivered while the standby confirms');
signal_receiver($two, 'STOP');
$one->safe_psql('postgres', $check);
ok(wait_status($one, 'backing_off'), 'remote_apply: a row waits for a standby that stops');
set_names($one, '');
ok(wait_delivered($one), 'remote_apply: the row is delivered when the standby is struck off the list');
signal_receiver($two, 'CONT');
compare_ledger($one, 'one primary', $files);
my $store = $one->safe_psql('postgres', 'select admin.store_id()');

# The primary is killed under load, and the synchronous standby takes over.
my $script = PostgreSQL::Test::Utils::tempdir() . '/writer.sql';
append_to_file($script, <<'SQL');
\set what random(1, 3)
begin;
\if :what = 1
set local synchronous_commit = off;
\endif
select admin.sensitive_check('APP-000001-x');
commit;
SQL
my ($primary, $standby) = ($one, $two);
set_names($_, '*') foreach $primary, $standby;
for my $round (1 .. $rounds)
{
	my $pgbench = IPC::Run::start(
		[ 'pgbench', '-n', '-c', '4', '-j', '2', '-T', '60', '-f', $script, '-h', $primary->host, '-p', $primary->port, 'postgres' ],
		'>', \my $out, '2>', \my $error);
	my $rows = status($primary, 'delivered_rows');
	poll(sub { status($primary, 'delivered_rows') > $rows + 50 }) or die 'nothing is delivered';
	kill_server($primary);
	$pgbench->kill_kill;
	$standby->promote;
	my $next = add_standby($standby, "standby_$round");
	ok(wait_delivered($standby), "failover $round: delivery goes on by itself");
	compare_ledger($standby, "failover $round", $files);
	($primary, $standby) = ($standby, $next);
}
is($primary->safe_psql('postgres', 'select admin.store_id()'), $store, 'the store is the same after all failovers');

done_testing();
