# Directories and files of the NDJSON sink that are left, copied, shared, moved or cut while
# delivery goes on: no line is lost, written twice or cut.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use Fcntl qw(:flock);
use Time::HiRes qw(stat);
use File::Temp;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "select admin.sensitive_check('APP-100001-abcd')";
my $insert = q{select count(admin_internal.append_event('bulk', '{}')) from generate_series(1, %d)};

sub check
{
	my ($node, $count) = @_;
	$node->safe_psql('postgres', $check) for 1 .. $count // 1;
}

# Each in a batch of its own, so that files are rotated between them.
sub deliver_each
{
	my ($node, $count) = @_;
	for (1 .. $count)
	{
		check($node);
		wait_delivered($node) or die 'not delivered';
	}
}

# Of all directories together.
sub ids
{
	return sort { $a <=> $b } map { /"auditid":"(\d+)"/ } map { ndjson_lines($_) } @_;
}

sub contents
{
	return map { $_ => slurp_file($_) } glob("$_[0]/*-*.ndjson");
}

# Files that no longer begin with what they held.
sub cut_files
{
	my (%before) = @_;
	return join ' ', grep { !-e $_ || index(slurp_file($_), $before{$_}) != 0 } sort keys %before;
}

# The worker has let go of a directory: it is in the next one.
sub wait_left
{
	my ($directory) = @_;
	open my $lock, '<', "$directory/postgres.lock" or die "$directory/postgres.lock: $!";
	poll(sub { flock $lock, LOCK_EX | LOCK_NB }) or die "$directory is still in use";
	close $lock;
}

sub newest_file
{
	my ($directory) = @_;
	my ($newest) = sort { (stat $b)[9] <=> (stat $a)[9] } glob("$directory/*-*.ndjson");
	return $newest;
}

# A copy of a stopped node's data, as a node of its own.
sub copy_of
{
	my ($node, $name) = @_;
	$node->backup_fs_cold($name);
	my $copy = PostgreSQL::Test::Cluster->new($name);
	$copy->init_from_backup($node, $name);
	return $copy;
}

sub wait_lost
{
	my ($node) = @_;
	return $node->poll_query_until('postgres',
		q{select state = 'stopped' and last_error ~ 'holds rows that this database has lost' from admin.worker_status});
}

# A directory that was left and is used again.
my $root = PostgreSQL::Test::Utils::tempdir();
my ($a, $b) = ("$root/a", "$root/b");
my $node = new_node('directories', conf => "admin_ext.ndjson_directory = '$a'\nadmin_ext.retry_backoff_max = '300ms'\n");
create_extension($node);
check($node, 5);
ok(wait_delivered($node), 'rows are delivered to directory A');
my %before = contents($a);
my ($left, $used) = ($a, $b);
for my $round (1 .. 3)
{
	configure($node, 'admin_ext.ndjson_directory' => $used);
	wait_left($left);
	check($node, 3);
	wait_delivered($node);
	%before = (%before, contents($used));
	($left, $used) = ($used, $left);
}
is(scalar(my @in_b = ids($b)), 6, 'directory B holds six rows after delivery moved from A to B, to A, to B');
configure($node, 'admin_ext.ndjson_directory' => $a);
wait_left($b);
check($node, 2);
ok(wait_delivered($node), 'rows are delivered to directory A when delivery returns from B');
is(join(' ', ids($a, $b)), join(' ', 1 .. 16), 'every row is in one file of one directory');
is(cut_files(%before), '', 'no file is cut when delivery returns to a directory');

# Sent again from the first row on, a file in B has the name of one in A.
%before = (contents($a), contents($b));
configure($node, 'admin_ext.ndjson_directory' => "$root/c");
wait_left($a);
$node->safe_psql('postgres', q{select admin.resync_sink('ndjson', 1)});
ok(wait_delivered($node), 'resync_sink from row 1 sends all rows to directory C');
%before = (%before, contents("$root/c"));
configure($node, 'admin_ext.ndjson_directory' => $a);
wait_left("$root/c");
check($node);
ok(wait_delivered($node), 'a row is delivered to directory A when delivery returns from C');
is(cut_files(%before), '', 'a file of the name that the position has, written before, is not cut');
# Row 17 is the event of the resync, in C.
is(join(' ', ids($a, $b)), join(' ', 1 .. 16, 18), 'directories A and B hold no row twice after a resync into C');

# Files moved away while the worker has them open.
my $archive = "$root/archive";
mkdir $archive or die "$archive: $!";
my @moved;
for my $round (1 .. 3)
{
	my $file = newest_file($a);
	my ($name) = $file =~ m{([^/]+)\z};
	rename $file, "$archive/$name" or die "$file: $!";
	push @moved, $file;
	# Read again and again, settings make the worker look for its file again and again.
	for my $rows (1 .. 3)
	{
		configure($node, 'admin_ext.batch_rows' => 1000 + $rows);
		poll(sub { log_count($node, qr/file "\Q$file\E" is gone/) }) or die 'nobody has noticed';
	}
	check($node, 2);
	ok(wait_delivered($node), "rows are delivered though the current file was moved away, round $round");
}
is(join(' ', ids($a, $b, $archive)), join(' ', 1 .. 16, 18 .. 24), 'moved files and current files together hold every row once');
is(log_count($node, qr/file "\Q$_\E" is gone/), 1, 'one line in the log reports moved file ' . s{.*/}{}r) for @moved;
my $removed = newest_file($a);
unlink $removed or die "$removed: $!";
for my $round (1 .. 2)
{
	my $pid = end_worker($node);
	ok($node->poll_query_until('postgres', "select pid <> $pid and state = 'idle' from admin.worker_status"),
		"a worker starts though its file is gone, round $round");
}
check($node);
ok(wait_delivered($node), 'a worker whose file was removed delivers into a new file');
is(join(' ', ids($a)), join(' ', grep { my $id = $_; !grep { $_ == $id } @in_b, ids($archive), 23, 24 } 1 .. 16, 18 .. 25),
	'nothing went to where the removed file was');
cmp_ok(log_count($node, qr/file "\Q$removed\E" is gone/), '<=', 2, 'the log reports a removed file at most once per started worker');

# A file shorter than what was delivered to it.
check($node, 2);
ok(wait_delivered($node), 'delivered before a file is cut');
$node->stop;
my $short = newest_file($a);
truncate $short, 100 or die "$short: $!";
$node->start;
check($node);
ok(wait_status($node, 'stopped'), 'a file that lost its end: stopped');
like(status($node, 'last_error'), qr/\Q$short\E.*shorter.*admin\.resync_sink\('ndjson'/, 'last_error names the file that lost its end, and resync_sink');
%before = contents($a);
is($node->safe_psql('postgres', q{select from_audit_id || ' ' || (reason ~ 'has lost rows.*shorter') from admin.resync_proposal('ndjson')}),
	'1 true', 'the proposal sends everything: the database cannot tell what the file still holds');
$node->safe_psql('postgres', q{select admin.resync_sink('ndjson', 27)});
ok(wait_delivered($node), 'rows are delivered after resync_sink for a file that lost its end');
check($node);
ok(wait_delivered($node), 'later rows are delivered after resync_sink for a file that lost its end');
is(cut_files(%before), '', 'no existing file is cut after resync_sink');
isnt(newest_file($a), $short, 'rows after resync_sink go into a new file');
is(join(' ', map { /"auditid":"(\d+)"/ } split /\n/, slurp_file(newest_file($a))), '27 28 29 30', 'the new file holds the rows from the one given to resync_sink on');

# Cut under a worker that has it open, as copytruncate does.
$short = newest_file($a);
truncate $short, 0 or die "$short: $!";
check($node);
ok($node->poll_query_until('postgres', q{select state = 'stopped' or lag_rows = 0 and last_audit_id = 31 from admin.worker_status}),
	'a file is cut under the worker');
is(index(slurp_file($short), "\0"), -1, 'a file that was cut under the worker has no hole');
is(status($node, 'state'), 'stopped', 'the worker stops when its open file is cut');
$node->safe_psql('postgres', q{select admin.resync_sink('ndjson', 27)});
ok(wait_delivered($node), 'rows are delivered after resync_sink for a file that was cut under the worker');

# An outage: one line in the log when it begins, one when it is over, however many attempts.
my $blocked = "$root/blocked";
append_to_file($blocked, 'a file where a directory should be');
my $locked = "$root/locked";
outage('an unusable directory', sub { configure($node, 'admin_ext.ndjson_directory' => "$blocked/x") },
	sub { unlink $blocked or die "$blocked: $!"; mkdir $blocked or die "$blocked: $!" });
configure($node, 'admin_ext.ndjson_directory' => $locked);
wait_left("$blocked/x");
check($node);
ok(wait_delivered($node), 'delivered to another directory');
outage('a directory that takes no new file',
	sub { rename newest_file($locked), "$archive/locked" or die "$locked: $!"; chmod 0555, $locked or die "$locked: $!" },
	sub { chmod 0755, $locked or die "$locked: $!" });

# Files are moved away while they are being written.
my $moving = "$root/moving";
my $last = $node->safe_psql('postgres', 'select max(audit_id) from admin.audit');
mkdir "$root/moved" or die "$root/moved: $!";
configure($node, 'admin_ext.ndjson_directory' => $moving, 'admin_ext.linger' => '0');
wait_left($locked);
append_to_file("$root/check.sql", "$check;\n");
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', '2', '-T', '2', '-f', "$root/check.sql", '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $out, '2>', \my $error);
my $moves = 0;
poll(sub {
	rename $_, sprintf('%s/moved/postgres-%05d.ndjson', $root, $moves++) for glob("$moving/*-*.ndjson");
	return 0;
}, 2);
$bench->finish;
ok(wait_delivered($node), 'delivered though files were moved away all the time');
my @arrived = ids($moving, "$root/moved");
is(scalar(my @twice = split / /, repeated(@arrived)), 0, 'no row is written twice while files are moved away');
is(scalar(@arrived), $node->safe_psql('postgres', "select count(*) from admin.audit where audit_id > $last"), 'no row is missing after files were moved away');
$node->stop;

sub outage
{
	my ($name, $begin, $end) = @_;
	my $pending = q{select count(*) from admin.audit_delivery where sink_status = 'pending'};
	my $ticks = $node->safe_psql('postgres', 'select count(*) from admin.tick');
	my $breaks = log_count($node, qr/is backing_off/);
	my $works = log_count($node, qr/works again/);
	my @attempts = (0);
	$begin->();
	check($node);
	ok(wait_status($node, 'backing_off'), "$name: the worker is backing_off");
	poll(sub {
		check($node, 3);
		my $at = status($node, 'extract(epoch from last_error_at)');
		push @attempts, $at if $at != $attempts[-1];
		@attempts > 6;
	});
	is(scalar(@attempts), 7, "$name: several attempts");
	cmp_ok($attempts[-1] - $attempts[-2], '>=', 0.25, "$name: the worker backs off to at least 0.25 s between attempts");
	is(log_count($node, qr/is backing_off/) - $breaks, 1, "$name: one line in the log reports backing_off");
	cmp_ok($node->safe_psql('postgres', 'select count(*) from admin.tick') - $ticks, '<=', 16, "$name: few ticks are made");
	ok(poll(sub { status($node, 'lag_rows') == $node->safe_psql('postgres', $pending) }), "$name: lag_rows counts each waiting row once");
	$end->();
	ok(wait_delivered($node), "$name: rows are delivered when the outage is over");
	ok(poll(sub { log_count($node, qr/works again/) - $works == 1 }), "$name: one line in the log says that the sink works again");
}

# Promotion after the primary went on to other files.
my $primary = new_node('primary', init => { allows_streaming => 1 }, conf => "admin_ext.ndjson_rotate_size = '1kB'\n");
create_extension($primary);
deliver_each($primary, 5);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
deliver_each($primary, 5);
cmp_ok(scalar(() = glob($primary->data_dir . '/admin_ext/*-*.ndjson')), '>', 3, 'the primary has rotated its files');
$primary->wait_for_catchup($standby);
$primary->stop;
my $files = $standby->data_dir . '/admin_ext';
%before = contents($files);
cmp_ok(scalar(keys %before), '>', 1, 'the standby has copies of the first files of the primary');
$standby->promote;
check($standby, 4);
ok(wait_delivered($standby), 'the promoted standby delivers');
$standby->restart;
check($standby);
ok(wait_delivered($standby), 'the promoted standby delivers after a restart');
is(cut_files(%before), '', 'the copied files of a promoted standby keep their lines');
is(join(' ', ids($files)), join(' ', 1 .. 5, split /\n/, $standby->safe_psql('postgres', 'select audit_id from admin.audit where audit_id > 10 order by 1')),
	'the files of a promoted standby hold the copied rows and its own rows, each once');
$standby->stop;

# A copy taken in the middle of a large window, by the time the original has finished it.
my $shared = "$root/shared";
my $original = new_node('original', conf => "admin_ext.ndjson_directory = '$shared'\nadmin_ext.batch_rows = 40\n");
create_extension($original);
$original->safe_psql('postgres', sprintf $insert, 20_000);
$original->poll_query_until('postgres', 'select delivered_rows > 500 from admin.worker_status');
$original->stop('immediate');
my $half = copy_of($original, 'half');
$original->start;
ok(wait_delivered($original), 'the original delivers all of a large transaction');
$original->stop;
is(scalar(my @keys = event_keys(ndjson_lines($shared))), 20_000, 'the files hold as many lines as a large transaction has rows');
$half->start;
ok(wait_lost($half), 'a copy in the middle of a large window is stopped');
is($half->safe_psql('postgres', q{select window_tick_id is not null from admin.sink_position order by position_id desc limit 1}), 't',
	'the position of the stopped copy is still within the window');
check($half);
ok($half->poll_query_until('postgres', 'select lag_rows > 0 from admin.worker_status'), 'the rows of a copy that is stopped within a window wait');
is(scalar(ndjson_lines($shared)), 20_000, 'a copy that is stopped within a window sends nothing');
$half->stop;

# The same after a backfill, whose batches belong to no tick.
my $older = copy_of($original, 'older');
configure_stopped($original, 'admin_ext.batch_rows' => 2);
$original->start;
$original->safe_psql('postgres', q{select admin.resync_sink('ndjson', 19991)});
ok(wait_delivered($original), 'some rows are sent again on request');
$original->stop;
is(scalar(ndjson_lines($shared)), 20_011, 'resync_sink sends the rows asked for, its own event, and no others');
$older->start;
ok(wait_lost($older), 'a copy taken before a resync is stopped');
check($older);
ok($older->poll_query_until('postgres', 'select lag_rows > 0 from admin.worker_status'), 'the rows of a copy taken before a resync wait');
is(scalar(ndjson_lines($shared)), 20_011, 'a copy taken before a resync sends nothing');
$older->stop;

sub configure_stopped
{
	my ($stopped, %settings) = @_;
	$stopped->append_conf('postgresql.conf', "$_ = '$settings{$_}'") for sort keys %settings;
}

# Two clusters on one directory: one waits for the other; what either has lost stops it.
my $twins = "$root/twins";
my $first = new_node('first', conf => "admin_ext.ndjson_directory = '$twins'\n");
create_extension($first);
check($first, 3);
ok(wait_delivered($first), 'delivered before the cluster is cloned');
$first->stop;
my $second = copy_of($first, 'second');
$first->start;
ok(wait_status($first, 'idle'), 'the worker of the first cluster on a directory is idle');
$second->start;
check($second, 2);
ok(wait_status($second, 'fenced'), 'the clone of a running cluster is fenced on the same directory');
ok($second->poll_query_until('postgres', 'select lag_rows >= 2 from admin.worker_status'), 'the rows of a fenced clone wait');
$first->stop;
ok(wait_delivered($second), 'a fenced clone that has lost nothing takes over when the first cluster stops');
is(scalar(() = ndjson_lines($twins)), 5, 'a clone that takes over adds its own two rows');
$first->start;
check($first, 4);
ok(wait_status($first, 'fenced'), 'the first cluster is fenced after its clone took over');
$second->stop;
ok(wait_lost($first), 'the worker of a cluster stops when its clone has delivered rows that the cluster lacks');
@keys = event_keys(ndjson_lines($twins));
is(scalar(@keys), 5, 'a cluster that lacks delivered rows sends nothing');
$first->safe_psql('postgres', q{select admin.resync_sink('ndjson', 4)});
ok(wait_delivered($first), 'a cluster that lacks delivered rows delivers after resync_sink');
$second->start;
check($second, 2);
ok(wait_status($second, 'fenced'), 'the clone is fenced after the first cluster was resynced');
$first->stop;
ok(wait_delivered($second), 'the clone delivers when the resynced first cluster stops');
@keys = event_keys(ndjson_lines($twins));
is(scalar(@keys), 12, 'the directory of two clusters holds all twelve lines');
is(repeated(@keys), '', 'source and id are unique');
$second->stop;
done_testing();
