# How long checks take, as the view tells it: which calls count, when, as what, and for how long.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Clock;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "select admin.sensitive_check('APP-100001-abcd')";
set_clock(0);
my $node;
# Nobody sweeps: nothing else is to hear of the clock.
by_clock(sub { $node = new_node('latency', init => { allows_streaming => 1 }, conf => "admin_ext.sweep_interval = 0\n") });
create_extension($node);

sub latency
{
	my ($columns, $database) = @_;
	return $node->safe_psql($database // 'postgres', "select $columns from admin.check_latency");
}

# What a piece of SQL adds: "<calls> <failed>".
sub adds
{
	my ($sql, $name, $expected) = @_;
	my @before = split /\|/, latency('calls, failed, calls_since_start');
	$node->psql('postgres', $sql);
	my @after = split /\|/, latency('calls, failed, calls_since_start');
	is(join(' ', map { $after[$_] - $before[$_] } 0 .. 2), "$expected " . (split / /, $expected)[0], sprintf('%s: calls %d, failed %d', $name, split / /, $expected));
}

# Does the server say t, within ten seconds?
sub says { my ($query) = @_; return poll(sub { $node->safe_psql('postgres', $query) eq 't' }, 10); }

# A check in another session that is held up, until it has been for 300 ms; then let go.
sub held_up
{
	my ($session, $by, $release) = @_;
	my $calls = latency('calls');
	$session->query_until(qr/asking/, "\\echo asking\n$check;\n");
	ok(says(qq{select count(*) = 1 from pg_stat_activity where wait_event = '$by'
		and pid <> pg_backend_pid() and query like '%sensitive_check%' and clock_timestamp() - query_start > interval '300 ms'}), "a check is held up: $by");
	is(latency('calls'), $calls, "a check that is held up is not counted yet: $by");
	$release->();
	$session->query_safe('select 1');
}

is(latency('*'), '0|0||||||0', 'before the first call: one row, no times');
$node->safe_psql('postgres', $check);
is(latency('calls, failed, p50_ms > 0, p50_ms = p95_ms, p99_ms = max_ms, max_ms < 10000, last_call_at between now() - interval \'1 minute\' and now(), calls_since_start'),
	'1|0|t|t|t|t|t|1', 'one call: one time');

# What callers wait for: first a lock within the check, then a standby at its commit.
my $holder = $node->background_psql('postgres', on_error_stop => 1);
my $caller = $node->background_psql('postgres', on_error_stop => 1);
$holder->query_safe('begin; lock table admin.audit in exclusive mode');
held_up($caller, 'relation', sub { $holder->query_safe('rollback') });
is(latency('calls, failed, p50_ms < 300, p99_ms >= 300, max_ms >= 300'), '2|0|t|t|t', 'the lock that a check waited for is in its time');
configure($node, synchronous_standby_names => 'nobody');
ok(says("select current_setting('synchronous_standby_names') = 'nobody'"), 'commits wait for a standby that is not there');
held_up($caller, 'SyncRep', sub { configure($node, synchronous_standby_names => '') });
is(latency('calls, failed, p50_ms >= 300'), '3|0|t', 'the time that a commit waited for a standby is in the time of its check');

# Which calls count.
adds("$check from generate_series(1, 5)", 'five checks in a statement', '5 0');
adds("begin; $check; $check; commit", 'two checks in a transaction', '2 0');
adds("begin; $check; rollback", 'a check that is rolled back', '1 1');
adds("begin; $check; select 1 / 0; commit", 'a check with an error after it in its transaction', '1 1');
adds("select admin.sensitive_check('APP-100001-abcd', action => repeat('x', 1000))", 'a check with an argument over its limit', '1 1');
adds("begin read only; $check; commit", 'a check in a read-only transaction', '1 1');
adds("set statement_timeout = '50ms'; select admin.sensitive_check('APP-100001-abcd'), pg_sleep(10)", 'a check in a statement that is cancelled', '1 1');
adds("begin; savepoint s; $check; release s; commit", 'a check in a subtransaction', '1 0');
adds("begin; savepoint s; $check; release s; rollback", 'a check in a subtransaction, then a rollback', '1 1');
adds("begin; $check; savepoint s; $check; savepoint t; $check; release t; rollback to s; $check; commit", 'four checks, two of them in a subtransaction that is rolled back', '4 2');
adds(q{do $$begin perform admin.sensitive_check('APP-100001-abcd');
	begin perform admin.sensitive_check('APP-100001-abcd', action => repeat('x', 1000)); exception when others then null; end; end$$}, 'two checks, one with an error that is caught', '2 1');
adds(q{do $$begin for i in 1 .. 3 loop perform admin.sensitive_check('APP-100001-abcd'); commit; end loop; end$$}, 'checks in three transactions of a block', '3 0');
adds("begin; $check; prepare transaction 'p'", 'a check in a transaction that is prepared', '1 0');
adds("rollback prepared 'p'", 'the end of a prepared transaction is no call', '0 0');
adds("begin; $check; prepare transaction repeat('p', 1000)", 'a check in a transaction that cannot be prepared', '1 1');
adds("begin; " . "$check; " x 1000 . 'rollback', 'a thousand checks in a transaction that is rolled back', '1000 1000');
adds("select admin.sensitive_check_preview('APP-100001-abcd'); select admin.explain_check('APP-100001-abcd')", 'a preview is no call', '0 0');
adds('select 1 / 0', 'a statement without a check is no call', '0 0');
$caller->query_safe("begin; $check");
adds('', 'a check in a transaction that has not ended', '0 0');
adds(sprintf('select pg_terminate_backend(%d, 10000)', $caller->query_safe('select pg_backend_pid()')), 'a check whose session ends before its transaction does', '1 1');

# Each of many at once.
my $script = $node->basedir . '/check.sql';
append_to_file($script, "$check;\n");
my $before = latency('calls_since_start');
$node->command_ok(['pgbench', '-n', '-c', 8, '-j', 2, '-t', 500, '-M', 'prepared', '-f', $script, $node->connstr('postgres')], 'eight sessions run 500 checks each');
is(latency('calls_since_start') - $before, 4000, 'each call of eight sessions counts');

# By database.
$node->safe_psql('postgres', 'create database other');
create_extension($node, 'other');
is(latency('calls, failed, calls_since_start', 'other'), '0|0|0', 'check_latency of another database shows no calls');
my $here = latency('*');
$node->safe_psql('other', $check) for 1 .. 3;
is(latency('calls, calls_since_start', 'other'), '3|3', 'check_latency of another database shows the calls made there');
is(latency('*'), $here, 'calls in one database change nothing in check_latency of another');

# The hour goes on: what is older leaves it, minute by minute.
my $all = latency('calls_since_start');
my $last = latency('last_call_at');
set_clock(50 * 60);
$node->safe_psql('postgres', $check) for 1 .. 2;
is(latency('calls'), $all + 2, 'after 50 minutes all calls are within the last hour');
set_clock(70 * 60);
$node->safe_psql('postgres', $check);
is(latency('calls, failed, max_ms < 300, calls_since_start'), '3|0|t|' . ($all + 3), 'after 70 minutes only the calls of the last 20 minutes are counted');
is(latency(qq{last_call_at > '$last'::timestamptz + interval '69 minutes'}), 't', 'last_call_at is moved on by the newest call');
set_clock(200 * 60);
is(latency('calls, failed, p50_ms, p95_ms, p99_ms, max_ms, last_call_at is not null, calls_since_start'), '0|0|||||t|' . ($all + 3), 'an hour without calls has no times');
$node->safe_psql('postgres', $check);
is(latency('calls'), '1', 'the first call after an hour without calls is the only one');
set_clock(140 * 60);
$node->safe_psql('postgres', $check);
is(latency('calls > 0, calls_since_start'), 't|' . ($all + 5), 'a clock that is set back loses no call');
set_clock(201 * 60);

# Sixteen databases are counted; one more only checks.
$node->safe_psql('postgres', "create database d$_ template other") for 1 .. 15;
$node->safe_psql("d$_", $check) for 1 .. 15;
is(join(' ', map { latency('calls_since_start', "d$_") } 1 .. 14), join(' ', (1) x 14), 'sixteen databases are counted');
is($node->safe_psql('d15', "$check ->> 'reason'"), 'approval_not_found', 'a check in a seventeenth database is answered');
is(latency('count(*)', 'd15'), '0', 'check_latency of a seventeenth database is empty');

# A restart begins anew, and so does a crash; without the library nothing is counted.
$node->restart;
is(latency('*'), '0|0||||||0', 'after a restart nothing has been counted');
$node->safe_psql('d15', $check);
is(latency('calls', 'd15'), '1', 'a database that found no room is counted after a restart');
$node->safe_psql('postgres', $check);
kill 'KILL', $node->safe_psql('postgres', "select pid from pg_stat_activity where backend_type = 'walwriter'");
ok(poll(sub { ($node->psql('postgres', 'select calls_since_start from admin.check_latency'))[1] eq '0' }), 'after a crash nothing has been counted');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is($node->safe_psql('postgres', "$check ->> 'reason'"), 'approval_not_found', 'without preload a check answers');
is(latency('count(*)'), '0', 'without preload check_latency is empty');
$node->stop;
done_testing();
