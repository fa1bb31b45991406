# Databases and extensions come and go while the worker delivers.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use Fcntl qw(:flock);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('lifecycle');
my $check = "select admin.sensitive_check('APP-100001-abcd')";

# Without the extension the worker waits, and says what for.
ok(poll(sub { slurp_file($node->logfile) =~ /is stopped: extension admin_ext is not installed in database "postgres"/ }),
	'without the extension the worker waits, and says what for');
create_extension($node);
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'rows of a new extension are delivered');
ok(wait_status($node, 'idle'), 'the worker is idle after it has delivered the rows of a new extension');
is(status($node, 'delivered_rows'), 1, 'delivered_rows of worker_status counts the row of a new extension');

# The extension for the move comes and goes, and delivery goes on.
create_cutover($node);
$node->safe_psql('postgres', q{select admin.import_approvals('[]')});
ok(wait_delivered($node), 'rows are delivered while extension admin_ext_cutover is installed');
$node->safe_psql('postgres', 'drop extension admin_ext_cutover');
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'delivery goes on after DROP EXTENSION admin_ext_cutover');
is(scalar(grep { /"type":"ptt\.admin\.guard\.changed".*"command":"(CREATE|DROP) EXTENSION","object":"admin_ext_cutover"/ } ndjson_lines($node->data_dir . '/admin_ext')), 2,
	'the events of CREATE and DROP EXTENSION admin_ext_cutover are delivered');

# DROP EXTENSION and back.
$node->safe_psql('postgres', 'drop extension admin_ext');
create_extension($node);
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'delivery goes on after DROP and CREATE EXTENSION');

# Two-phase commit wakes nobody, and is delivered at its commit.
$node->safe_psql('postgres', "begin; $check; prepare transaction 'p'");
$node->safe_psql('postgres', $check);
ok($node->poll_query_until('postgres', 'select count(*) = 2 from admin.audit_delivery where sink_status = $$delivered$$'),
	'rows are delivered past a prepared transaction');
$node->safe_psql('postgres', "commit prepared 'p'");
ok(wait_delivered($node), 'the row of a prepared transaction is delivered after COMMIT PREPARED');
is($node->safe_psql('postgres', 'select count(*) from admin.audit_delivery'), 3, 'audit_delivery lists all three rows after COMMIT PREPARED');

# A held transaction keeps nobody waiting.
my $held = $node->background_psql('postgres', on_error_stop => 1);
$held->query_safe("begin; $check");
$node->safe_psql('postgres', $check);
ok($node->poll_query_until('postgres', q{select sink_status = 'delivered' from admin.audit_delivery order by audit_id desc limit 1}),
	'rows are delivered past an open transaction');
$held->query_safe('commit');
$held->quit;
ok(wait_delivered($node), 'the row of an open transaction is delivered after that transaction commits');
compare_ledger_lines($node, 5);

# Everything after a re-created extension is in the same files, by its own store.
sub compare_ledger_lines
{
	my ($n, $count) = @_;
	my $store = $n->safe_psql('postgres', 'select store_id from admin.store');
	is(scalar(grep { /\/admin_ext\/$store"/ && /"type":"ptt\.admin\.sensitive\.check\.2b"/ } ndjson_lines($n->data_dir . '/admin_ext')), $count,
		"the NDJSON files hold $count checks of the current store");
}

# Rename: the worker makes way at once.
$node->safe_psql('postgres', 'create database other');
$node->safe_psql('other', 'alter database postgres rename to away');
is($node->safe_psql('other', 'select 1'), 1, 'rename succeeds under delivery');
$node->safe_psql('other', 'alter database away rename to postgres');
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'delivery goes on after a database is renamed and renamed back');

# CREATE DATABASE with it as template; the copy knows that it is one.
$node->safe_psql('other', 'create database copy template postgres');
$node->append_conf('postgresql.conf', "admin_ext.databases = 'postgres, copy, gone, dropped'");
$node->safe_psql('postgres', 'create database dropped');
create_extension($node, 'dropped');
$node->reload;
ok($node->poll_query_until('postgres', q{select state = 'stopped' and last_error ~ 'another database of this cluster'
	from admin.worker_status where database = 'copy'}), 'a copied database waits for its operator');
ok($node->poll_query_until('postgres', q{select last_error ~ 'does not exist' from admin.worker_status where database = 'gone'}),
	'a database that is not there is named');
$node->safe_psql('copy', "select admin.resync_sink('ndjson', 1)");
ok(wait_delivered($node, 'copy'), 'rows of a copied database are delivered after resync_sink');
isnt($node->safe_psql('copy', 'select store_id from admin.store'), $node->safe_psql('postgres', 'select store_id from admin.store'),
	'a copied database has another store_id after resync_sink');

# DROP DATABASE, plain and FORCE, while rows are being delivered.
foreach my $force ('', ' with (force)')
{
	$node->safe_psql('dropped', $check);
	ok(wait_delivered($node, 'dropped'), "delivered before DROP DATABASE$force");
	$node->safe_psql('dropped', $check);
	$node->safe_psql('postgres', "drop database dropped$force");
	ok($node->poll_query_until('postgres', q{select pid is null from admin.worker_status where database = 'dropped'}),
		"DROP DATABASE$force succeeds and the worker is gone");
	$node->safe_psql('postgres', 'create database dropped');
	create_extension($node, 'dropped');
}

# A user who may not drop a database does not stop its delivery either.
$node->safe_psql('postgres', 'create role nobody login');
my $pid = $node->safe_psql('postgres', "select pid from admin.worker_status where database = 'copy'");
$node->psql('postgres', 'set role nobody; drop database copy');
is($node->safe_psql('postgres', "select pid from admin.worker_status where database = 'copy'"), $pid,
	'a refused DROP DATABASE leaves the worker alone');

# A database taken off the list is let go.
$node->append_conf('postgresql.conf', "admin_ext.databases = 'postgres'");
$node->reload;
ok($node->poll_query_until('postgres', 'select count(*) = 1 from admin.worker_status'), 'unlisted databases lose their workers');

# Wrong settings are refused, and say why.
foreach my $wrong ([ 'sinks', 'NDJSON,,' ], [ 'sinks', 'a, a' ], [ 'sinks', '../x' ], [ 'batch_rows', '0' ], [ 'ndjson_directory', '' ])
{
	my ($rc, undef, $error) = $node->psql('postgres', "alter system set admin_ext.$wrong->[0] = '$wrong->[1]'");
	isnt($rc, 0, "admin_ext.$wrong->[0] = '$wrong->[1]' is refused");
}

# An unknown sink stops alone.
$node->append_conf('postgresql.conf', "admin_ext.sinks = 'ndjson, nowhere'");
$node->reload;
ok($node->poll_query_until('postgres', q{select last_error ~ 'admin_ext_nowhere' from admin.worker_status where sink = 'nowhere'}),
	'an unknown sink is named in last_error');
$node->safe_psql('postgres', $check);
ok($node->poll_query_until('postgres', q{select bool_and(sink_status = 'delivered') from admin.audit_delivery where sink = 'ndjson'}),
	'sink ndjson delivers although another listed sink is unknown');
$node->append_conf('postgresql.conf', "admin_ext.sinks = 'ndjson'");
$node->reload;

# An unwritable directory is a state; nothing is lost.
my $blocked = $node->basedir . '/blocked';
append_to_file($blocked, 'a file where a directory should be');
$node->append_conf('postgresql.conf', "admin_ext.ndjson_directory = '$blocked'");
$node->reload;
$node->safe_psql('postgres', $check);
ok(wait_status($node, 'backing_off'), 'an unusable directory: backing_off');
like(status($node, 'last_error'), qr/\Q$blocked\E/, 'last_error names the unusable directory');
$node->safe_psql('postgres', $check) for 1 .. 3;
ok($node->poll_query_until('postgres', 'select lag_rows >= 4 and lag_seconds > 0 from admin.worker_status'), 'lag_rows and lag_seconds show the rows that wait for an unusable directory');
$node->append_conf('postgresql.conf', "admin_ext.ndjson_directory = 'admin_ext'");
$node->reload;
ok(wait_delivered($node), 'rows are delivered when ndjson_directory names a usable directory again');
ok($node->poll_query_until('postgres', 'select lag_rows = 0 and last_error is null from admin.worker_status'), 'worker_status shows no lag and no error once the backlog is delivered');
compare_ledger_lines($node, 11);

# One worker per database and directory, be the other one of another cluster.
open my $lock, '+<', $node->data_dir . '/admin_ext/postgres.lock' or die "postgres.lock: $!";
end_worker($node);
# Waiting for it, we have it before the next worker asks.
ok(flock($lock, LOCK_EX), 'somebody else has the lock of the directory');
ok(wait_status($node, 'fenced'), 'a worker without the lock is fenced');
close $lock;
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'a fenced worker delivers when the lock of the directory is free');
$node->stop;

# No process left for a worker: the two are the server's replication launcher and ours.
my $full = new_node('full', conf => "max_worker_processes = 2\nmax_parallel_workers = 0\n");
create_extension($full);
ok(wait_status($full, 'stopped'), 'no free worker process: stopped');
like(status($full, 'last_error'), qr/max_worker_processes/, 'last_error names max_worker_processes when no worker process is free');
$full->stop;
done_testing();
