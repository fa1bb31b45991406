# What a sink has rejected is sent again when somebody asks for it: once, whatever is killed.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_node('letters');
my $files = $node->data_dir . '/admin_ext';
create_extension($node);
my $check = "select admin.sensitive_check('APP-100001-abcd')";

# How often a row is in the files.
sub copies
{
	my ($audit_id) = @_;
	return scalar(grep { /"auditid":"$audit_id"/ } ndjson_lines($files));
}

# NDJSON rejects nothing: rows that are dead letters before the worker comes to them.
sub dead_letters
{
	my ($count) = @_;
	configure($node, 'admin_ext.sinks' => '');
	$node->poll_query_until('postgres', 'select count(*) = 0 from admin.worker_status') or die 'the worker stays';
	my $ids = $node->safe_psql('postgres', qq{with row as materialized (
		select admin_internal.append_event('letter', '{}') as audit_id from generate_series(1, $count)), letter as (insert into admin.dead_letter (sink, audit_id, error)
		select 'ndjson', audit_id, 'by hand' from row) select string_agg(audit_id::text, ' ') from row});
	configure($node, 'admin_ext.sinks' => 'ndjson');
	return split / /, $ids;
}

my ($letter) = dead_letters(1);
$node->safe_psql('postgres', "insert into admin.dead_letter (sink, audit_id, error) values ('ndjson', 99999999, 'never was')");
$node->safe_psql('postgres', $check);
my $pending = q{select count(*) = 0 from admin.audit_delivery where sink_status = 'pending'};
ok($node->poll_query_until('postgres', $pending), 'rows beside a dead letter are delivered');
is(copies($letter), 0, 'the worker does not deliver a dead letter');
is($node->safe_psql('postgres', "select sink_status from admin.audit_delivery where audit_id = $letter"), 'failed', 'audit_delivery shows a dead letter as failed');
$node->safe_psql('postgres', "select admin.retry_dead_letter('ndjson', $letter), admin.retry_dead_letter('ndjson', 99999999)");
ok($node->poll_query_until('postgres', "select count(*) = 0 from admin.dead_letter where audit_id = $letter"), 'a dead letter no longer exists after retry_dead_letter');
is(copies($letter), 1, 'a dead letter is delivered once after retry_dead_letter');
is($node->safe_psql('postgres', "select sink_status from admin.audit_delivery where audit_id = $letter"), 'delivered', 'audit_delivery shows a retried dead letter as delivered');
ok($node->poll_query_until('postgres', q{select attempts = 2 and error ~ 'not in the audit trail' from admin.dead_letter where audit_id = 99999999}),
	'a dead letter whose row does not exist says so after a retry');

# A superuser changes rows past the guards: a row that is not delivered yet, and a dead letter, are delivered as they are then.
# Where it fits the new version is on the same page, and has no index entry of its own; a changed key gives it one.
sub change_payload
{
	my ($audit_id, $more) = @_;
	$node->safe_psql('postgres', qq{begin;
		alter table admin.audit disable trigger audit_append_only, disable trigger audit_append_only_statement;
		update admin.audit set payload = '{"changed": true}' $more where audit_id = $audit_id;
		alter table admin.audit enable always trigger audit_append_only, enable always trigger audit_append_only_statement;
		commit});
}
foreach my $way (['on the same page', ''], ['with another index entry', ", approval_id = 'APP-000007-changed'"])
{
	my ($name, $more) = @$way;
	configure($node, 'admin_ext.sinks' => '');
	$node->poll_query_until('postgres', 'select count(*) = 0 from admin.worker_status') or die 'the worker stays';
	my $changed = $node->safe_psql('postgres', q{select admin_internal.append_event('changed', '{"changed": false}')});
	change_payload($changed, $more);
	configure($node, 'admin_ext.sinks' => 'ndjson');
	ok($node->poll_query_until('postgres', $pending), "a row that was changed before its delivery, $name: all is delivered");
	is(scalar(grep { /"auditid":"$changed"/ && /"changed": ?true/ } ndjson_lines($files)), 1, "a row that was changed before its delivery, $name: the file has it once");
	my ($changed_letter) = dead_letters(1);
	change_payload($changed_letter, $more);
	$node->safe_psql('postgres', "select admin.retry_dead_letter('ndjson', $changed_letter)");
	ok($node->poll_query_until('postgres', "select count(*) = 0 from admin.dead_letter where audit_id = $changed_letter"), "a dead letter that was changed, $name, is delivered");
	is(copies($changed_letter), 1, "a dead letter that was changed, $name: the file has it once");
}

# Who asks once more and then leaves the transaction open is in nobody's way.
($letter) = dead_letters(1);
configure($node, 'admin_ext.sinks' => '');
$node->poll_query_until('postgres', 'select count(*) = 0 from admin.worker_status') or die 'the worker stays';
$node->safe_psql('postgres', "select admin.retry_dead_letter('ndjson', $letter)");
my $open = $node->background_psql('postgres', on_error_stop => 1);
$open->query_safe("begin; select admin.retry_dead_letter('ndjson', $letter)");
configure($node, 'admin_ext.sinks' => 'ndjson');
$node->safe_psql('postgres', $check);
ok($node->poll_query_until('postgres', "select count(*) = 0 from admin.dead_letter where audit_id = $letter"), 'a retry does not wait for an open transaction that asks for the same dead letter');
$open->query_safe('rollback');
$open->quit;

# The server is killed somewhere around it.
foreach my $round (1 .. 8)
{
	my @letters = dead_letters(20);
	# Committed, and nothing of it known to the worker: the request waits until delivery has passed the rows.
	$node->safe_psql('postgres', "select admin.retry_dead_letter('ndjson', id) from unnest('{" . join(',', @letters) . "}'::bigint[]) as id");
	usleep(int(rand(400000)));
	$node->stop('immediate');
	$node->start;
}
ok($node->poll_query_until('postgres', 'select count(*) = 1 from admin.dead_letter'), 'all retried dead letters are delivered though the server was killed');
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'all other rows are delivered though the server was killed');
$node->safe_psql('postgres', 'delete from admin.dead_letter');
compare_ledger($node, 'retried dead letters and all other rows, each once');
$node->stop;
done_testing();
