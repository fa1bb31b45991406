# What operators, administrators and strangers do to a server while it delivers: settings,
# resync_sink, loads, locks, launchers, encodings, databases that come and go.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use Encode;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "select admin.sensitive_check('APP-100001-abcd')";
my $node = new_node('operators', conf => "wal_writer_delay = '10s'\nadmin_ext.retry_backoff_max = '300ms'\n");
my $data = $node->data_dir;
my $everywhere = "$data/{admin_ext,reloaded}";
create_extension($node);

sub check
{
	my ($count, $database) = @_;
	$node->safe_psql($database // 'postgres', $check) for 1 .. $count // 1;
}

# The SQLSTATE that a statement ends with.
sub sqlstate
{
	my ($sql) = @_;
	my (undef, undef, $error) = $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
	return $error =~ /ERROR:  (\w{5})/ ? $1 : $error;
}

# Asynchronous commits from a reload on: what has been sent is on disk all the same.
check(2);
ok(wait_delivered($node), 'delivered before a reload');
$node->safe_psql('postgres', 'alter system set synchronous_commit = off');
configure($node, 'admin_ext.ndjson_directory' => 'reloaded');
ok(poll(sub { -e "$data/reloaded/postgres.lock" }), 'the worker has read its settings');
for my $round (1 .. 2)
{
	check(5);
	ok(wait_delivered($node), "rows are delivered with asynchronous commits, round $round");
	$node->stop('immediate');
	$node->start;
	check();
	ok(wait_delivered($node), "rows are delivered after a crash with asynchronous commits, round $round");
	compare_ledger($node, "crash $round with synchronous_commit off", $everywhere);
}
$node->safe_psql('postgres', 'alter system reset synchronous_commit');
$node->reload;

# resync_sink waits for no writer, no writer waits for it, and no row is lost.  The sink is down
# meanwhile: rows delivered in between would be sent again, as asked.
append_to_file("$data/no_directory", '');
configure($node, 'admin_ext.ndjson_directory' => 'no_directory/below');
ok(wait_status($node, 'backing_off'), 'the sink is down');
my $next = 1 + $node->safe_psql('postgres', 'select max(audit_id) from admin.audit');
my $writer = $node->background_psql('postgres', on_error_stop => 1);
my $late = $node->background_psql('postgres', on_error_stop => 1);
my $operator = $node->background_psql('postgres', on_error_stop => 1);
$writer->query_safe("begin; $check");
$operator->query_safe("begin; select admin.resync_sink('ndjson', $next)");
$late->query_safe("begin; set local lock_timeout = '200ms'; $check");
$writer->query_safe("$check; commit");
$operator->query_safe('commit');
$late->query_safe('commit');
$_->quit for $writer, $operator, $late;
configure($node, 'admin_ext.ndjson_directory' => 'reloaded');
check();
ok(wait_delivered($node), 'delivered after resync_sink among writers');
compare_ledger($node, 'resync_sink among writers', $everywhere);

# Advisory locks are anybody's, and hold nobody up.
$node->safe_psql('postgres', 'create role nobody login');
my $stranger = $node->background_psql('postgres', on_error_stop => 1, extra_params => [ '-U', 'nobody' ]);
$stranger->query_safe("select pg_advisory_lock(1633971572, 0), pg_advisory_lock(1633971571, hashtext('ndjson'))");
check(2);
ok(wait_delivered($node), 'delivered beside advisory locks');
my $pid = end_worker($node);
ok($node->poll_query_until('postgres', "select pid <> $pid from admin.worker_status"), 'a worker starts beside advisory locks');
check(2);
ok(wait_delivered($node), 'a worker that started beside advisory locks delivers');
$stranger->quit;

# A launcher ends; the next one knows the worker that is there.
my $launcher = q{select coalesce((select pid from pg_stat_activity where backend_type = 'admin_ext launcher'), 0)};
my $workers = q{select coalesce(string_agg(pid::text, ' '), '') from pg_stat_activity where backend_type = 'admin_ext worker'};
my $before = $node->safe_psql('postgres', $launcher);
$pid = status($node, 'pid');
$node->safe_psql('postgres', "select pg_terminate_backend($before)");
check();
ok(wait_delivered($node), 'delivered without a launcher');
ok(poll(sub { $node->safe_psql('postgres', $launcher) !~ /^(0|$before)$/ }), 'a launcher comes back');
configure($node, 'admin_ext.databases' => 'postgres, nowhere');
ok($node->poll_query_until('postgres', q{select last_error ~ 'does not exist' from admin.worker_status where database = 'nowhere'}),
	'a new launcher reports a listed database that does not exist');
is($node->safe_psql('postgres', $workers), $pid, 'the same worker is the only one after a launcher was replaced');
check();
ok(wait_delivered($node), 'rows are delivered after a launcher was replaced');
configure($node, 'admin_ext.databases' => '');
ok($node->poll_query_until('postgres', $workers, ''), 'a database that is taken off the list is let go');
configure($node, 'admin_ext.databases' => 'postgres');
check();
ok(wait_delivered($node), 'a database that is listed again is served again');
compare_ledger($node, 'launchers, locks', $everywhere);

# What waits at a sink that cannot even be loaded is counted.
configure($node, 'admin_ext.sinks' => 'ndjson, nowhere');
ok($node->poll_query_until('postgres', q{select last_error ~ 'has no position yet' from admin.worker_status where sink = 'nowhere'}),
	'a new sink is not let loose on a trail that was resynced');
$node->safe_psql('postgres', q{select admin.resync_sink('nowhere', max(audit_id) + 1) from admin.audit});
ok($node->poll_query_until('postgres', q{select last_error ~ 'admin_ext_nowhere' from admin.worker_status where sink = 'nowhere'}),
	'last_error names the missing library of a sink');
check(3);
ok($node->poll_query_until('postgres', q{select lag_rows >= 3 and lag_seconds > 0 from admin.worker_status where sink = 'nowhere'}),
	'lag_rows and lag_seconds show what waits for a sink without its library');
my $pending = q{select count(*) from admin.audit_delivery where sink = 'nowhere' and sink_status = 'pending'};
ok(poll(sub { $node->safe_psql('postgres', $pending)
	== $node->safe_psql('postgres', q{select lag_rows from admin.worker_status where sink = 'nowhere'}) }), 'lag_rows counts once each row that waits for a sink without its library');
configure($node, 'admin_ext.sinks' => 'ndjson');
ok($node->poll_query_until('postgres', 'select count(*) = 1 from admin.worker_status'), 'a sink that is taken off the list leaves worker_status');

# And so it is at one that is stopped.
ok(wait_delivered($node), 'delivered before a file is cut');
my ($newest) = sort { (stat $b)[9] <=> (stat $a)[9] } glob("$data/reloaded/*-*.ndjson");
truncate $newest, 10 or die "$newest: $!";
end_worker($node);
ok(wait_status($node, 'stopped'), 'a sink stops when its newest file is cut');
check(3);
ok($node->poll_query_until('postgres', 'select lag_rows = 3 and lag_seconds > 0 from admin.worker_status'), 'lag_rows and lag_seconds show what waits for a stopped sink');
unlink $newest or die "$newest: $!";
ok(wait_delivered($node), 'a stopped sink delivers after its cut file is removed');
ok($node->poll_query_until('postgres', 'select lag_rows = 0 from admin.worker_status'), 'no row waits after a stopped sink has delivered');

# resync_sink again and again, while a backlog is delivered row by row.
configure($node, 'admin_ext.batch_rows' => 1, 'admin_ext.ndjson_directory' => 'resync');
ok(poll(sub { -e "$data/resync/postgres.lock" }), 'the worker has read the setting of batches of one row');
$node->safe_psql('postgres', q{select count(admin_internal.append_event('bulk', '{}')) from generate_series(1, 2000)});
my $outages = log_count($node, qr/is (backing_off|stopped|fenced)/);
my $refused = 0;
for my $round (1 .. 20)
{
	my $rows = status($node, 'delivered_rows');
	poll(sub { status($node, 'delivered_rows') > $rows }) or die 'nothing is delivered';
	$refused++ if ($node->psql('postgres', q{select admin.resync_sink('ndjson', 1)}))[0] != 0;
}
is($refused, 0, 'resync_sink succeeds twenty times');
is(log_count($node, qr/is (backing_off|stopped|fenced)/), $outages, 'twenty calls of resync_sink cause no outage of the worker');
configure($node, 'admin_ext.batch_rows' => 10000);
ok(wait_delivered($node), 'everything is delivered in the end');
my %sent = map { /"auditid":"(\d+)"/ => 1 } ndjson_lines("$data/resync");
is(scalar(keys %sent), $node->safe_psql('postgres', 'select count(*) from admin.audit'), 'no row is lost in twenty calls of resync_sink');

# Limits.
is(sqlstate("select admin.resync_sink('ndjson', 9223372036854775807)"), '22023', 'resync_sink does not use up the numbers');
is(sqlstate("select admin.resync_sink('ndjson', 0)"), '22023', 'resync_sink refuses audit_id 0');
is(sqlstate(q{set default_transaction_isolation = 'repeatable read'; select admin.drop_audit_partitions('8 years')}), '25001',
	'partitions are not dropped under an old snapshot');
check();
ok(wait_delivered($node), 'checks go on');

# A load while the worker runs.
my $loaded = 100 + $node->safe_psql('postgres', 'select max(audit_id) from admin.audit');
my $lines = scalar(() = ndjson_lines("$data/resync"));
$node->safe_psql('postgres', qq{set admin_ext.restoring = on;
	insert into admin.audit (audit_id, xid, event_type, payload) overriding system value
	select $loaded + i, '3', 'loaded', '{}' from generate_series(0, 4) as i});
ok(wait_status($node, 'stopped'), 'a load stops the worker');
like(status($node, 'last_error'), qr/loaded from a dump.*resync_sink/, 'last_error of a worker that a load stopped names resync_sink');
$node->safe_psql('postgres', "select admin.resync_sink('ndjson', $loaded + 2)");
check(2);
ok(wait_settled($node), 'delivery goes on after a load and resync_sink');
# The event that the load had begun may have been delivered before the load was noticed.
my @all = map { /"auditid":"(\d+)"/ } ndjson_lines("$data/resync");
is(join(' ', grep { $_ >= $loaded } @all[ $lines .. $#all ]), join(' ', map { $loaded + $_ } 2 .. 8),
	'after a load each row is delivered once, from the one given to resync_sink on');
is(sqlstate(q{select admin_internal.delivery_open('other')}), '55000', 'delivery_open refuses a new sink after resync_sink of another sink');

# Texts that have no equivalent in UTF-8, or no encoding at all.
$node->safe_psql('postgres', "create database $_->[0] encoding '$_->[1]' template template0 lc_collate 'C' lc_ctype 'C'")
  for [ 'latin', 'WIN1252' ], [ 'plain', 'SQL_ASCII' ];
configure($node, 'admin_ext.databases' => 'postgres, latin, plain');
foreach my $case ([ 'latin', 'a\x81', "a\x{fffd}" ], [ 'plain', 'J\xfcrgen', "J\x{fffd}rgen" ])
{
	my ($database, $actor, $expected) = @$case;
	create_extension($node, $database);
	$node->safe_psql($database, "select admin.sensitive_check('APP-100001-abcd', actor => E'$actor')");
	check(1, $database);
	ok(wait_delivered($node, $database), "database $database: rows are delivered");
	my @texts = map { Encode::decode('UTF-8', $_, Encode::FB_CROAK) } ndjson_lines("$data/resync", $database);
	is(scalar(@texts), 2, "database $database: both lines are valid UTF-8");
	like($texts[0], qr/"actor":"\Q$expected\E"/, "database $database: U+FFFD replaces what has no equivalent in UTF-8");
}

# A database that an interrupted DROP DATABASE has left.
$node->safe_psql('postgres', 'create database broken');
$node->safe_psql('postgres', q{update pg_database set datconnlimit = -2 where datname = 'broken'});
configure($node, 'admin_ext.databases' => 'postgres, broken, served');
ok($node->poll_query_until('postgres', q{select state = 'stopped' and last_error ~ 'invalid; drop it'
	from admin.worker_status where database = 'broken'}), 'an invalid database is named as one');
$node->safe_psql('postgres', 'drop database broken');

# Runs a command that the worker must not hold up: with a deadline, for a worker that does not let go does so for good.
sub in_time
{
	my ($command, $database) = @_;
	my $timed_out;
	my ($rc, undef, $error) = $node->psql($database // 'postgres', $command, timeout => 60, timed_out => \$timed_out);
	ok(!$timed_out && $rc == 0, "$command succeeds") or diag($error);
}

# Who waits for company makes way.
$node->safe_psql('postgres', 'create database served');
create_extension($node, 'served');
configure($node, 'admin_ext.linger' => '10s', 'admin_ext.ndjson_directory' => 'linger');
ok(poll(sub { -e "$data/linger/served.lock" }), 'the worker has read the setting of linger');
check(1, 'served');
ok(wait_delivered($node, 'served'), 'a worker that lingers delivers the first commit after an idle period');
check(1, 'served');
is($node->safe_psql('served', 'select sink_status from admin.audit_delivery order by audit_id desc limit 1'), 'pending', 'a worker that lingers keeps the next commit pending for later commits');
in_time('drop database served');
configure($node, 'admin_ext.linger' => '1ms', 'admin_ext.batch_rows' => 20, 'admin_ext.databases' => 'postgres, one, two');

# Workers that are ended together: each one's successor finds its sink free.
foreach my $database ('one', 'two')
{
	$node->safe_psql('postgres', "create database $database");
	create_extension($node, $database);
}
for my $round (1 .. 3)
{
	my $count = q{select count(*) from admin.worker_status where state = 'idle' and pid is not null};
	ok($node->poll_query_until('postgres', $count, '3'), "all sinks are served, round $round");
	my $pids = $node->safe_psql('postgres', q{select string_agg(pid::text, ',') from admin.worker_status});
	$node->safe_psql('postgres', "select pg_terminate_backend(pid) from unnest('{$pids}'::int[]) as pid");
	ok($node->poll_query_until('postgres', "select count(*) = 3 from admin.worker_status where pid is not null and pid not in ($pids)"),
		"new workers serve all sinks when the earlier workers end, round $round");
}
is(log_count($node, qr/another worker delivers to sink|is already held/), 0, 'no sink is found taken');
is($node->safe_psql('postgres', q{select count(*) from pg_locks as l join admin.worker_status as s using (pid)
	where l.classid = 1633971571 and l.mode = 'ExclusiveLock' and l.granted
	and l.database = (select oid from pg_database where datname = s.database)}), '3', 'each worker has the lock of its sink in its own database');

# In the middle of a backlog.
foreach my $database ('one', 'two')
{
	$node->safe_psql($database, q{select count(admin_internal.append_event('bulk', '{}')) from generate_series(1, 100000)});
}
wait_delivering('one', 'before DROP EXTENSION');
in_time('drop extension admin_ext', 'one');
wait_delivering('two', 'before a rename');
in_time('alter database two rename to three');
in_time('alter database three rename to two');
wait_delivering('two', 'after a rename');
in_time('drop database two with (force)');
create_extension($node, 'one');
check(2, 'one');
ok(wait_delivered($node, 'one'), 'rows are delivered after the extension is dropped in a backlog and re-created');
in_time('drop database one');
check();
ok(wait_settled($node), 'delivery of database postgres goes on after its neighbours are dropped');

sub wait_delivering
{
	my ($database, $when) = @_;
	ok($node->poll_query_until('postgres', qq{select state = 'delivering' and lag_rows > 0 and delivered_rows > 0
		from admin.worker_status where database = '$database'}), "database $database is being delivered $when");
}

$node->stop;
done_testing();
