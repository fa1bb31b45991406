# A clock that is set: delivery does not depend on it, decisions and partitions follow it; a
# dump of one month is loaded in another.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Clock;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir;
my $check = "select admin.sensitive_check('APP-000001-a')";

# Delivered within seconds.
sub delivers
{
	my ($node, $name) = @_;
	my $started = time;
	$node->safe_psql('postgres', $check) for 1 .. 5;
	ok(wait_delivered($node), "$name: rows are delivered");
	cmp_ok(time - $started, '<', 10, "$name: rows are delivered within ten seconds");
}

sub reason
{
	my ($node) = @_;
	return $node->safe_psql('postgres', "select admin.sensitive_check('APP-000001-a') ->> 'reason'");
}

set_clock(0);
my $node;
by_clock(sub { $node = new_node('clock') });
create_extension($node);
$node->safe_psql('postgres', q{insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
	values ('APP-000001-a', 'pay', '{r}', 1, 'me', now() + interval '1 hour');
	insert into admin.signature (approval_id, signer_role, signer) values ('APP-000001-a', 'r', 'you')});
delivers($node, 'clock unchanged');
is(reason($node), '', 'before the deadline the approval is valid');
set_clock(7200);
is(reason($node), 'approval_expired', 'the approval has expired after the clock is set forward');
delivers($node, 'clock set forward by two hours');
set_clock(-3 * $day);
is(reason($node), '', 'the approval is valid again after the clock is set back');
delivers($node, 'clock set back by three days');
set_clock(-40 * $day);
delivers($node, 'clock set back into a month without a partition');
cmp_ok($node->safe_psql('postgres', 'select lag_seconds from admin.worker_status'), '<', 1, 'lag_seconds is below 1 in a month without a partition');
set_clock(0);
$node->stop('immediate');
by_clock(sub { $node->start });
delivers($node, 'after a crash');
compare_ledger($node, 'each row once with a clock that was set');

# Months that the worker makes by itself.
my $months = q{select count(*) from pg_inherits where inhparent = 'admin.audit'::regclass};
my $before = $node->safe_psql('postgres', $months);
set_clock(70 * $day);
by_clock(sub { $node->restart });
ok($node->poll_query_until('postgres', "select ($months) >= $before + 2"), 'months to come are made by the worker');
delivers($node, 'clock set forward by 70 days');
is($node->safe_psql('postgres', 'select count(*) from only admin.audit_default where recorded_at > now() - interval \'1 day\''), '0',
	'rows of a month that the worker made are not in the default partition');

$node->safe_psql('postgres', q{select admin.audit_ingest(jsonb_agg(jsonb_build_object('specversion', '1.0', 'type', 't', 'source', '/ff', 'id', n::text, 'sequence', n)))
	from unnest(array[1, 2, 5]) as n});

# A dump of then, loaded two months earlier, and one of now loaded two years later.
foreach my $offset (0, 700 * $day)
{
	my $dump = "$directory/dump.sql";
	$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], "pg_dump before a load with the clock $offset s ahead");
	set_clock($offset);
	$node->safe_psql('postgres', 'create database restored');
	{
		local $ENV{PGOPTIONS} = '-c admin_ext.restoring=on';
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ], "a dump loads with the clock $offset s ahead");
	}
	foreach my $table (qw(approval signature audit audit_attributes ingest_source ingest_gap sweep_due))
	{
		my $query = "select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from admin.$table as t" . ($table eq 'audit' ? " where event_type <> 'setting.changed'" : '');
		is($node->safe_psql('restored', $query), $node->safe_psql('postgres', $query), "table admin.$table is the same in a copy loaded with the clock $offset s ahead");
	}
	# Above the events of the load, which are above what the dump has.
	cmp_ok($node->safe_psql('restored', "select nextval('admin.audit_audit_id_seq')"), '>',
		$node->safe_psql('restored', 'select max(audit_id) from admin.audit'), "the sequence of audit_id goes on in a copy loaded with the clock $offset s ahead");
	is($node->safe_psql('restored', 'select admin.sweep_expired()'), $node->safe_psql('postgres', q{begin; select admin.sweep_expired(); rollback}),
		"a sweep announces as much in the copy as in the original, clock $offset s ahead");
	$node->safe_psql('restored', 'select admin.create_audit_partitions()');
	is($node->safe_psql('restored', "select admin_internal.append_event('now', '{}');
		select count(*) from admin.audit where event_type = 'now' and tableoid <> 'admin.audit_default'::regclass") =~ /([0-9]+)\z/, '1', "a new row in the copy is not in the default partition, clock $offset s ahead");
	$node->safe_psql('postgres', 'drop database restored');
}
$node->stop;
done_testing();
