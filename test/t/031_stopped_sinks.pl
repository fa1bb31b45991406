# Sinks that do not deliver: what waits for them is counted, somebody is warned, and their rows are not dropped.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Clock;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "select admin.sensitive_check('APP-000001-a')";
my $node;

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

sub check { sql($check, $_[1]) for 1 .. $_[0] }

# A month of eight years ago, with a row that a superuser skipped.
set_clock(-8 * 366 * $day);
by_clock(sub { $node = new_node('months', conf => "admin_ext.retry_backoff_max = '300ms'\n") });
create_extension($node);
append_to_file($node->data_dir . '/blocked', '');
configure($node, 'admin_ext.ndjson_directory' => 'blocked/below');
ok(wait_status($node, 'backing_off'), 'the sink is down');
check(3);
sql("select admin.resync_sink('ndjson', 3)");
configure($node, 'admin_ext.ndjson_directory' => 'admin_ext');
ok(wait_settled($node), 'two rows are skipped, the rest is delivered');
set_clock(0);
my ($rc, undef, $error) = $node->psql('postgres', q{select admin.drop_audit_partitions('7 years')});
like($error, qr/holds rows that sink "ndjson" has not delivered.*audit_id [12], which a resync has skipped/s, 'a month with skipped rows is not dropped');
sql("select admin.resync_sink('ndjson', 1)");
ok(wait_delivered($node), 'skipped rows are sent after all');
cmp_ok(sql(q{select admin.drop_audit_partitions('7 years')}), '>', 0, 'a month is dropped after its skipped rows were sent');
$node->stop;

# A store that is renewed, as a copy that was loaded: stopped, with its rows counted.
$node = new_node('stopped', conf => "max_worker_processes = 3\n");
create_extension($node);
check(2);
ok(wait_delivered($node), 'rows are delivered before the store is renewed');
sql('select admin.renew_store()');
check(3);
ok(wait_status($node, 'stopped'), 'delivery of a renewed store is stopped');
ok($node->poll_query_until('postgres', 'select lag_rows = 4 and lag_seconds > 0 from admin.worker_status'), 'the rows of a renewed store are counted, and the event of renew_store()');
is(log_count($node, qr/WARNING: .*is stopped: this copy of the audit trail was loaded from a dump/), 1, 'the log has one warning of a renewed store');
sql("select admin.resync_sink('ndjson', (select from_audit_id from admin.resync_proposal('ndjson')))");
ok(wait_delivered($node), 'the proposal is enough for a renewed store to go on');
ok($node->poll_query_until('postgres', 'select lag_rows = 0 and lag_seconds = 0 from admin.worker_status'), 'a renewed store has no lag after a resync');

# A sink without a worker: somebody is warned, and what waits in a database is shown there.
sql('create database second');
create_extension($node, 'second');
configure($node, 'admin_ext.databases' => 'postgres, second');
check(4, 'second');
my $status = q{select state || ' ' || coalesce(lag_rows::text, 'unknown') || ' ' || coalesce((lag_seconds > 0)::text, 'unknown')
	from admin.worker_status where database = 'second'};
ok($node->poll_query_until('second', $status, 'stopped 4 true'), 'a sink without a worker shows what waits');
is(sql($status), 'stopped unknown unknown', 'a sink without a worker is not shown as free of lag in another database');
is(log_count($node, qr/WARNING: .*no background worker slot is free for 1 pair of a database and a sink/), 1, 'one warning says how many pairs of a database and a sink have no worker');
is(log_count($node, qr/LOG: .*worker processes needed: 1 \(databases: 1, sinks: 1\), running: 0, free: \d of 3 \(max_worker_processes\)/), 1,
	'a line says how many worker processes are needed, and free');
is(log_count($node, qr/LOG: .*worker processes needed: 2 \(databases: 2, sinks: 1\), running: 1, free: /), 1, 'another line says how many worker processes are needed after that number changes');
configure($node, 'admin_ext.databases' => 'postgres');
ok($node->poll_query_until('postgres', 'select count(*) = 1 from admin.worker_status'), 'the database is taken off the list');

# An idle worker says what it waits for, and ends without a word when it is told to.
my $activity = q{select query from pg_stat_activity where backend_type = 'admin_ext worker'};
ok($node->poll_query_until('postgres', $activity, 'waiting for rows'), 'an idle worker waits for rows');
$node->restart;
ok(wait_status($node, 'idle'), 'the worker is idle after a restart');
is(log_count($node, qr/FATAL: .*terminating background worker "admin_ext/), 0, 'no failure is logged when an idle server stops');

# A marker that claims what no database can have sent.
configure($node, 'admin_ext.sinks' => '');
ok($node->poll_query_until('postgres', 'select count(*) = 0 from admin.worker_status'), 'the worker has ended');
my ($marker) = glob($node->data_dir . '/admin_ext/' . sql('select store_id from admin.store') . '.position');
my $before = slurp_file($marker);
my $sequence = 'select last_value from admin.audit_audit_id_seq';
my $last = sql($sequence);
(my $forged = $before) =~ s/^(\d+) (\d+) (\S+) \d+/$1 $2 $3 9000000000000000000/;
open my $file, '>', $marker or die "$marker: $!";
print $file $forged;
close $file;
configure($node, 'admin_ext.sinks' => 'ndjson');
check(2);
ok($node->poll_query_until('postgres', q{select state = 'stopped' from admin.worker_status}), 'a forged marker stops the sink');
like(status($node, 'last_error'), qr/mark of batch \d+ in the sink was not written by this database: it names audit_id 9000000000000000000.*resync_proposal/,
	'last_error names the audit_id of the forged marker');
ok($node->poll_query_until('postgres', q{select lag_rows = 2 from admin.worker_status}), 'the rows that wait behind a forged marker are counted');
($rc, undef, $error) = $node->psql('postgres', q{select admin.resync_sink('ndjson', 8000000000000000000)});
like($error, qr/is above \d+, the number after the highest known/, 'no number that the marker made up is accepted');
unlink $marker or die "$marker: $!";
sql("select admin.resync_sink('ndjson', (select from_audit_id from admin.resync_proposal('ndjson')))");
ok(wait_delivered($node), 'without the forged marker the proposal is enough to go on');
cmp_ok(sql($sequence) - $last, '<', 10, 'a forged marker does not use up numbers');
$node->stop;
done_testing();
