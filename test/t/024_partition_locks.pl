# Locks: no call of an operator or auditor, and no open transaction of anybody, keeps checks waiting,
# and a worker that waits for a lock says so.  Transactions here stay open for as long as the test
# wants: a check that had to wait for one would never be answered.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('locks', conf => "admin_ext.databases = ''\nadmin_ext.require_verified_jwt = off\n");
create_extension($node);
$node->safe_psql('postgres', "create role aud login; create role ops login; create role chk login;
	select admin.grant_access('aud', 'auditor'), admin.grant_access('ops', 'operator'), admin.grant_access('chk', 'checker')");
my $longest = 0;

# Checks, one after the other, until a condition holds; each within two seconds.
sub checks_until
{
	my ($condition, $name) = @_;
	my $failed = '';
	my $done = poll(sub {
		my $began = time();
		my ($code, undef, $error) = $node->psql('postgres', "set statement_timeout = '2s'; select admin.sensitive_check('APP-000001-a')",
			extra_params => [ '-U', 'chk' ]);
		my $took = time() - $began;
		$longest = $took if $took > $longest;
		$failed = $error if $code;
		return $failed ne '' || $condition->();
	}, 30);
	is($done ? $failed : 'the condition never held', '', $name);
}

sub session
{
	my ($role, $sql) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', $role ]);
	$session->query($sql);
	return $session;
}

# Runs a statement beside checks; returns its output and its error.
sub beside_checks
{
	my ($role, $sql, $name) = @_;
	my ($out, $error) = ('', '');
	my $call = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-U', $role, '-c', $sql ], '>', \$out, '2>', \$error);
	checks_until(sub { $call->pump_nb if $call->pumpable; return !$call->pumpable }, $name);
	$call->finish;
	return ($out, $error);
}

sub pid_of { my ($role) = @_; return $node->safe_psql('postgres', "select pid from pg_stat_activity where usename = '$role' and state like 'idle in%'"); }

my $last_month = q{select partition from admin.audit_partitions() where not is_default order by lower_bound desc limit 1};
sub forget_last_month { $node->safe_psql('postgres', 'drop table ' . $node->safe_psql('postgres', $last_month)); }

# A reader that stays: months cannot be added, and the error says whose transaction is in the way.
my $reader = session('aud', 'begin; select count(*) from admin.audit');
my ($out, $error) = beside_checks('ops', 'select admin.create_audit_partitions(5)', 'checks go on while months are asked for beside a reader');
my $pid = pid_of('aud');
like($error, qr/could not lock admin\.audit_default.*process $pid of role "aud"/s, 'the error names the reader because of whom no months are made');
is($node->safe_psql('postgres', "set statement_timeout = '2s'; select count(*) > 0 from admin.audit"), 't', 'other readers get through while a reader stays');
is($node->safe_psql('postgres', q{set statement_timeout = '2s'; select admin.audit_ingest('[{"specversion": "1.0", "id": "1", "source": "/ff", "type": "t"}]') ->> 'accepted'}),
	'1', 'ingest gets through while a reader stays');
$reader->query('rollback');
($out, $error) = beside_checks('ops', 'select admin.create_audit_partitions(5)', 'checks go on while months are asked for after the reader has ended');
is("$out$error", "2\n", 'months are made after the reader has ended');

# A writer that stays, and rows in the default partition.
my $month = $node->safe_psql('postgres', 'select partition from admin.audit_partitions() where lower_bound <= now() and upper_bound > now()');
$node->safe_psql('postgres', "alter table admin.audit detach partition $month; drop table $month; select admin.sensitive_check('APP-000001-a')");
my $writer = session('chk', "begin; select admin.sensitive_check('APP-000001-a')");
($out, $error) = beside_checks('ops', 'select admin.create_audit_partitions(6)', 'checks go on beside a writer, and rows in the default partition');
$pid = pid_of('chk');
like($error, qr/could not lock admin\.audit, admin\.audit_default.*process $pid of role "chk"/s, 'the error names the writer because of whom no months are made');
$writer->query('commit');
# The same with a reader.
$reader->query('begin; select count(*) from admin.audit');
($out, $error) = beside_checks('ops', 'select admin.create_audit_partitions(6)', 'checks go on beside a reader, and rows in the default partition');
like($error, qr/could not lock admin\.audit, admin\.audit_default.*role "aud"/s, 'the error names the reader beside rows in the default partition');
$reader->query('rollback');
($out, $error) = beside_checks('ops', 'select admin.create_audit_partitions(6)', 'checks go on while rows leave the default partition without a reader or writer');
is($node->safe_psql('postgres', 'select count(*) from admin.audit_default'), '0', 'the rows of the default partition become a partition of their own');
$node->safe_psql('postgres', 'select admin.create_audit_partitions(6)');

# A month that is prepared stays locked until the call ends, so the call waits for no other lock then.
$month = $node->safe_psql('postgres', 'select partition from admin.audit_partitions() where lower_bound <= now() and upper_bound > now()');
$node->safe_psql('postgres', "alter table $month disable trigger audit_append_only_statement");
forget_last_month();
my $keeper = session('postgres', 'begin; select count(*) from admin.audit_default');
($out, $error) = beside_checks('ops', 'select admin.create_audit_partitions(6)', 'checks go on beside a month that lost its trigger and a reader of the default partition');
is($out, "0\n", 'no months are made beside a reader of the default partition');
like($error, qr/WARNING:  no months were made: (could not lock admin\.audit_default|others wait for partition).*Partition \Q$month\E was prepared/s, 'a warning says why no months were made, and which partition was prepared');
is($node->safe_psql('postgres', "select tgenabled from pg_trigger where tgrelid = '$month'::regclass and tgname = 'audit_append_only_statement'"), 'A', 'the month that was prepared has its trigger again');
$keeper->quit;
($out, $error) = beside_checks('ops', 'select admin.create_audit_partitions(6)', 'checks go on after the reader of the default partition has ended');
is("$out$error", "1\n", 'the month is made after the reader of the default partition has ended');

# Who leaves the transaction open in which months were made is put out when somebody waits, whatever it does.
sub is_put_out
{
	my ($session, $waiter, $name) = @_;
	my ($code, $stdout, $stderr) = $node->psql('postgres', "set statement_timeout = '5s'; $waiter");
	is($stderr, '', "$name: others get through");
	ok($node->poll_query_until('postgres', q{select count(*) = 0 from pg_stat_activity where usename = 'ops'}), "$name: the session is ended");
	eval { $session->{run}->finish };
}

sub open_call
{
	my ($sql) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'ops' ]);
	$session->query_until(qr/asked/, "\\echo asked\n$sql\n");
	return $session;
}

sub wait_held
{
	my ($relation, $name) = @_;
	ok($node->poll_query_until('postgres', "select exists (select from pg_locks as l join pg_stat_activity as a using (pid)
		where a.usename = 'ops' and l.granted and l.mode = 'AccessExclusiveLock' and l.relation = '$relation'::regclass)"), "$name: $relation is held");
}

my $reads = 'select count(*) from admin.audit';
foreach my $case (['left open', 'begin; select admin.create_audit_partitions(6);'],
	['a long statement', 'select admin.create_audit_partitions(6), pg_sleep(600);'],
	['after an error', 'begin; select admin.create_audit_partitions(6); savepoint a; select 1/0; rollback to a;'],
	['after two errors', 'begin; select admin.create_audit_partitions(6); savepoint a; select 1/0; select 1;'])
{
	my ($name, $sql) = @$case;
	forget_last_month();
	my $session = open_call($sql);
	wait_held('admin.audit_default', "months: $name");
	is_put_out($session, $reads, "months: $name");
}
$node->safe_psql('postgres', 'select admin.create_audit_partitions(6)');
my ($code, undef, $refused) = do { forget_last_month(); $node->psql('postgres', "begin; select admin.create_audit_partitions(6); prepare transaction 'months'") };
like($refused, qr/cannot PREPARE a transaction that has locked the audit trail/, 'a transaction that has made months cannot be prepared');
# Where nobody waits, a transaction takes its time.
is($node->safe_psql('postgres', 'begin; select admin.create_audit_partitions(6); select pg_sleep(0.3); commit; select 7'), "1\n\n7", 'a transaction that has made months is not ended while nobody waits for it');

# Old months: nothing to drop takes no lock at all; what there is to drop is held for no longer than others let it.
$node->append_conf('postgresql.conf', "admin_ext.databases = 'postgres'");
$node->reload;
my $idle = open_call(q{begin; select admin.drop_audit_partitions('100 years');});
checks_until(sub { return wait_delivered($node) }, 'checks go on beside an open transaction that dropped nothing');
$idle->query('rollback');
$idle->quit;
sub old_row
{
	# By hand, with the guard switched off: a clock that was wrong would do the same.
	$node->safe_psql('postgres', q{begin; alter table admin.audit disable trigger audit_append_only;
		insert into admin.audit (event_type, recorded_at, payload) values ('old', '2016-02-03', '{}');
		alter table admin.audit enable always trigger audit_append_only; commit});
	$node->safe_psql('postgres', 'select admin.create_audit_partitions(6)');
	is($node->safe_psql('postgres', q{select count(*) from admin.audit_y2016m02}), '1', 'there is an old month');
	ok(wait_delivered($node), 'the old month is delivered');
}
old_row();
# A worker would be the first one to wait.
my $workers = q{select count(*) from pg_stat_activity where backend_type = 'admin_ext worker'};
configure($node, 'admin_ext.databases' => '');
ok($node->poll_query_until('postgres', $workers, '0'), 'no worker runs before old months are dropped');
foreach my $case (['left open', q{begin; select admin.drop_audit_partitions('9 years');}],
	['a long statement', q{select admin.drop_audit_partitions('9 years'), pg_sleep(600);}],
	['after an error', q{begin; select admin.drop_audit_partitions('9 years'); savepoint a; select 1/0; rollback to a;}])
{
	my ($name, $sql) = @$case;
	my $session = open_call($sql);
	wait_held('admin.audit', "drop: $name");
	is_put_out($session, q{select admin.sensitive_check('APP-000001-a') is null}, "drop: $name");
	is($node->safe_psql('postgres', q{select to_regclass('admin.audit_y2016m02') is not null}), 't', "drop: $name: nothing was dropped");
}
$writer->query("begin; select admin.sensitive_check('APP-000001-a')");
($out, $error) = beside_checks('ops', q{select admin.drop_audit_partitions('9 years')}, 'checks go on while months are dropped beside a writer');
like($error, qr/could not lock admin\.audit, .*role "chk"/s, 'the error names the writer because of whom no month is dropped');
$writer->query('commit');
($out, $error) = beside_checks('ops', q{select admin.drop_audit_partitions('9 years')}, 'checks go on while months are dropped after the writer has ended');
is("$out$error", "1\n", 'the old month is dropped after the writer has ended');
is($node->safe_psql('postgres', q{select actor || ' ' || (payload ->> 'partition') || ' ' || (payload ->> 'rows') from admin.audit where event_type = 'partition.dropped'}),
	'ops audit_y2016m02 1', 'the trail says who dropped the old month, and how many rows it had');
note(sprintf 'longest check: %.0f ms, with its connection', 1000 * $longest);

# A session has only so much time.
$_->quit for $reader, $writer;

# The worker says what it waits for, with true lag.
configure($node, 'admin_ext.databases' => 'postgres');
ok(wait_delivered($node), 'every row is delivered before a table is locked');
my $future = $node->safe_psql('postgres', $last_month);
foreach my $case (['admin.audit_default', 'admin.audit_default'], [$future, $future], ['admin.sink_position', 'admin.sink_position'],
	['admin.tick', 'admin.tick'], ['admin.dead_letter_retry', 'admin.dead_letter_retry'])
{
	my ($relation, $named) = @$case;
	my $rows = $node->safe_psql('postgres', 'select count(*) from admin.audit');
	my $holder = session('postgres', "begin; lock table $relation in access exclusive mode");
	$node->safe_psql('postgres', q{select admin.sensitive_check('APP-000001-a')});
	ok($node->poll_query_until('postgres', qq{select state = 'backing_off' and last_error ~ 'waits for a lock on $named;' from admin.worker_status}),
		"$relation: the worker says that it waits for a lock") or diag(status($node, q{state || coalesce(last_error, '')}));
	$node->safe_psql('postgres', q{select admin.sensitive_check('APP-000001-a')}) for 1 .. 3;
	# The old month that was dropped is in the files as well.
	my $waiting = $rows + 4 + 1 - scalar(ndjson_lines($node->data_dir . '/admin_ext'));
	cmp_ok($waiting, '>=', 3, "$relation: rows wait while it is locked");
	ok($node->poll_query_until('postgres', qq{select lag_rows = $waiting and lag_seconds > 0 from admin.worker_status}), "$relation: the rows that wait are counted")
	  or diag(status($node, 'lag_rows'));
	$holder->query('rollback');
	$holder->quit;
	ok($node->poll_query_until('postgres', q{select state in ('idle', 'delivering') and lag_rows = 0 from admin.worker_status}), "$relation: the worker goes on without the lock")
	  or diag(status($node, q{state || ' ' || lag_rows || coalesce(last_error, '')}));
	ok(wait_delivered($node), "$relation: every row is delivered without the lock");
}
# The links are written after the file is: what it delivers is cut back, and delivered again.
{
	my $relation = 'admin_internal.delivery_link';
	my $holder = session('postgres', "begin; lock table $relation in access exclusive mode");
	$node->safe_psql('postgres', q{select admin.sensitive_check('APP-000001-a')});
	ok($node->poll_query_until('postgres', qq{select state = 'backing_off' and last_error ~ 'waits for a lock on $relation;' from admin.worker_status}),
		"$relation: the worker says that it waits for a lock") or diag(status($node, q{state || coalesce(last_error, '')}));
	$holder->query('rollback');
	$holder->quit;
	ok(wait_delivered($node), "$relation: every row is delivered without the lock");
}
is(repeated(event_keys(ndjson_lines($node->data_dir . '/admin_ext'))), '', 'no row is in the files twice');
$node->stop;
done_testing();
