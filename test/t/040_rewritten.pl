# A table is rewritten while others wait for it, as pg_repack does it: its rows are there again,
# written by a transaction that a snapshot from before the wait does not see.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use Test::More;

my $node = new_node('rewritten', conf => "admin_ext.retry_backoff_max = '300ms'\nadmin_ext.require_verified_jwt = off\n");
my $files = $node->data_dir . '/admin_ext';
create_extension($node);
sql("select admin.sensitive_check('APP-000000-z')");
ok(wait_delivered($node), 'a worker runs');
my $worker = status($node, 'pid');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub session { return $node->background_psql('postgres', on_error_stop => 1) }

# Lets a session run what will wait.
sub begin
{
	my ($session, $commands) = @_;
	$session->{stdin} .= "$commands\n";
	$session->{run}->pump_nb;
	return;
}

sub rewriting { return "begin; alter table $_[0] set unlogged; alter table $_[0] set logged;" }

# By a session that is there already: a worker waits for a lock for half a second at most.
my $monitor = session();
sub waits
{
	my ($what, $seconds) = @_;
	return poll(sub {
		return $monitor->query_safe("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and $what") == 1;
	}, $seconds);
}

# Stops the worker between two steps: it holds nothing.
sub pause
{
	return poll(sub {
		kill 'STOP', $worker;
		return 1 if sql("select count(*) from pg_locks where pid = $worker and relation is not null") == 0;
		kill 'CONT', $worker;
		return 0;
	});
}

sub ends
{
	my ($session) = @_;
	$session->query_safe('commit');
	$session->quit;
	return;
}

my $ingest = q{select admin.audit_ingest('[{"specversion": "1.0", "id": "%s", "source": "/ff", "type": "t", "colour": "red"}]')};
my ($month, $next) = map { sql("select 'admin.audit_y' || to_char(date_trunc('month', now() at time zone 'utc') + interval '$_ month', 'YYYY\"m\"MM')") } 0, 1;

# The worker looks for rows, finds some, and waits for their month before it reads them: who
# rewrites the month has waited for the look to end.
sub is_caught
{
	my ($attempt) = @_;
	my ($holder, $rewriter) = (session(), session());
	pause() or return 0;
	sql(sprintf($ingest, "month$attempt") . q{; select admin.sensitive_check('APP-000001-a')});
	$holder->query_safe("begin; lock table $next in access exclusive mode");
	kill 'CONT', $worker;
	my $caught = waits("pid = $worker and query = 'probing'", 1);
	begin($rewriter, rewriting($month));
	$caught &&= waits("query like '%set unlogged%'", 1);
	ends($holder);
	$caught &&= waits("pid = $worker and query = 'reading'", 1);
	ends($rewriter);
	ok(wait_delivered($node), "attempt $attempt: everything is delivered");
	return $caught;
}

# On a busy machine it can have given up before it is seen.
my $attempts = 0;
ok(poll(sub { return is_caught(++$attempts) }), 'the worker waits while it looks, and again when it reads a month that was rewritten meanwhile');
note("attempts: $attempts");

# The attributes of an event.
pause();
sql(sprintf $ingest, 'attributes');
my $rewriter = session();
$rewriter->query_safe(rewriting('admin.audit_attributes'));
kill 'CONT', $worker;
ok(waits("pid = $worker and query = 'reading'"), 'the worker waits for attributes');
ends($rewriter);
ok(wait_delivered($node), 'the event is delivered after its attributes were rewritten');
is(scalar(grep { /"id":"(month\d+|attributes)"/ && /"colour":"red"/ } ndjson_lines($files)), $attempts + 1, 'each event is delivered with its attributes');
compare_ledger($node, 'rewritten rows are delivered once');

# A check answers by what stands once it has the tables.
sql(q{insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
	values ('APP-000003-c', 'pay', 'account 7', '{r}', 1, 'boss', '2100-01-01');
	insert into admin.signature (approval_id, signer_role, signer) values ('APP-000003-c', 'r', 'ann')});
my ($signatures, $check) = (session(), session());
$signatures->query_safe(rewriting('admin.signature'));
begin($check, "select admin.sensitive_check('APP-000003-c') ->> 'decision';");
ok(waits("query like '%APP-000003-c%'"), 'a check waits for the signatures');
ends($signatures);
like($check->query_safe('select 1'), qr/valid/, 'a check finds the signatures after they were rewritten');
$check->quit;

$node->stop;
done_testing();
