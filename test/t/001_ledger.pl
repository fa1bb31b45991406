# Concurrent writers with savepoints, rollbacks, two-phase and asynchronous commits, while
# the worker is killed, the server crashes and is stopped at once: nothing is lost,
# duplicated, altered or out of order per approval.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = $ENV{LEDGER_ROUNDS} // 50;
my $node = new_node('ledger', conf => <<'CONF');
admin_ext.batch_rows = 50
admin_ext.ndjson_rotate_size = '64kB'
admin_ext.linger = '1ms'
CONF
create_extension($node);
$node->safe_psql('postgres', q{
	insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
	select format('APP-%s-x', lpad(i::text, 6, '0')), 'a', '{r}', 1, 'me', now() + interval '1 day'
	from generate_series(1, 20) as i});

# What a writer does, by chance; alterations of one approval take its row's lock.
my $script = PostgreSQL::Test::Utils::tempdir() . '/writer.sql';
append_to_file($script, <<'SQL');
\set approval random(1, 20)
\set what random(1, 8)
\set number random(1, 1000000000)
begin;
\if :what = 1
set local synchronous_commit = off;
\endif
select admin.sensitive_check(format('APP-%s-x', lpad(:approval::text, 6, '0')));
\if :what < 6
update admin.approval set resource = :number::text where approval_id = format('APP-%s-x', lpad(:approval::text, 6, '0'));
\endif
\if :what = 2
savepoint s;
select admin.sensitive_check('APP-000001-x');
rollback to s;
select admin.sensitive_check('APP-000002-x');
\endif
\if :what = 3
rollback;
\elif :what = 4
prepare transaction 'p:number';
commit prepared 'p:number';
\else
commit;
\endif
SQL

for my $round (1 .. $rounds)
{
	my $pgbench = IPC::Run::start(
		[ 'pgbench', '-n', '-c', '4', '-j', '2', '-T', '60', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \my $out, '2>', \my $error);
	my $before = $node->safe_psql('postgres', 'select coalesce(max(position_id), 0) from admin.sink_position');
	$node->poll_query_until('postgres', "select max(position_id) > $before + 3 from admin.sink_position")
	  or die 'nothing is delivered';
	my $pid = status($node, 'pid');
	my $kind = $round % 3;
	if ($kind == 0)
	{
		$node->stop('immediate');
		$node->start;
	}
	elsif ($kind == 1 && $pid)
	{
		kill 'TERM', $pid;
		poll(sub { (status($node, "coalesce(pid, 0)") // 0) !~ /^(0|$pid)$/ }) or die 'no worker came back';
	}
	elsif ($pid)
	{
		kill 'KILL', $pid;
		wait_up($node) or die 'server did not come back';
	}
	$pgbench->kill_kill;
	wait_up($node);
	# Whoever was prepared when the server went down gets its answer now; a session that is still ending may have it.
	ok(poll(sub
	{
		my $prepared = $node->safe_psql('postgres', 'select gid from pg_prepared_xacts');
		$node->psql('postgres', "commit prepared '$_'") for split /\n/, $prepared;
		return $prepared eq '';
	}), "no prepared transaction is left after round $round");
}
ok(wait_delivered($node), 'everything is delivered in the end');
compare_ledger($node, "$rounds kills");
compare_chain($node, "$rounds kills");
cmp_ok($node->safe_psql('postgres', 'select count(*) from admin.sink_position'), '<', 300, 'old positions are purged');
$node->stop;
is(scalar(() = slurp_file($node->logfile) =~ /is already held/g), 0, 'no worker finds the lock of one that has gone');
done_testing();
