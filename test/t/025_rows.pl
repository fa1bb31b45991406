# Large rows, rows in any bytes, and DDL on the trail beside checks and the worker.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use IPC::Run qw(start finish);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('rows', conf => "deadlock_timeout = 200ms\nadmin_ext.require_verified_jwt = off\n");
create_extension($node);
my $future = $node->safe_psql('postgres', 'select partition from admin.audit_partitions() where not is_default order by lower_bound desc limit 1');

# DDL locks the trail before a partition.  Checks and the worker do the same, so none of them deadlocks.
my $script = $node->basedir . '/check.sql';
append_to_file($script, "select admin.sensitive_check('APP-000001-a');\n");
my ($out, $err) = ('', '');
my $load = start ['pgbench', '-n', '-c', '2', '-T', '600', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres'], '>', \$out, '2>', \$err;
ok($node->poll_query_until('postgres', q{select coalesce(max(delivered_rows), 0) > 100 from admin.worker_status}), 'checks are answered and delivered');
my %ddl = (
	'DROP of a future month' => "drop table $future",
	'DETACH of a future month' => "alter table admin.audit detach partition $future",
	'a constraint on a future month' => "alter table $future add constraint c check (actor <> '')",
	'a lock of the trail' => 'lock table admin.audit in access exclusive mode');
for my $name (sort keys %ddl)
{
	# Another session's statement may fail for its lock, but not for a deadlock.
	$node->psql('postgres', join('', map { "begin; $ddl{$name}; rollback;\n" } 1 .. 40), on_error_stop => 0);
	is(log_count($node, 'deadlock detected'), 0, "$name, rolled back 40 times: no deadlock");
}
$load->signal('TERM');
finish $load;
ok(wait_delivered($node), 'all rows are delivered after DDL that was rolled back beside checks');

# A change of an audited row that has more than the limit is refused.  What is within it can be dumped.
$node->safe_psql('postgres', q{
	alter table admin.audit alter payload set storage external;
	create table large (id int, body text);
	alter table large alter body set storage external;
	select admin.attach_audit('large');
	insert into large values (1, repeat('x', 90000000));});
my ($code, $answer, $error) = $node->psql('postgres', q{\set VERBOSITY verbose
update large set body = repeat('y', 90000000)});
like($error, qr/54000: row of "large" is too large for the audit trail/, 'an update is refused whose old and new value are more than the limit');
$node->safe_psql('postgres', q{insert into large values (2, repeat('"', 118000000))});
command_ok(['pg_dump', '-h', $node->host, '-p', $node->port, '-f', '/dev/null', 'postgres'], 'pg_dump writes a row near the limit');
ok(wait_delivered($node), 'the worker delivers a row near the limit');

# A database without an encoding takes any bytes.  The worker replaces them in time, and ends when it has to.
$node->safe_psql('postgres', q{create database bytes encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'});
$node->safe_psql('postgres', 'create database other');
create_extension($node, 'bytes');
$node->safe_psql('bytes', q{create table large (body text); select admin.attach_audit('large')});
configure($node, 'admin_ext.databases' => 'postgres,bytes');
$node->safe_psql('bytes', q{insert into large select repeat(e'\xe2', 20000000) from generate_series(1, 3)});
$node->safe_psql('postgres', 'drop database other with (force)');
pass('DROP DATABASE of another database does not wait for the worker');
$node->stop('fast');
pass('the server stops');
$node->start;
ok(poll(sub { $node->safe_psql('bytes', q{select count(*) = 0 from admin.audit_delivery where sink_status <> 'delivered'}) eq 't' }, 180), 'large rows of any bytes are delivered after a restart');
$node->stop;
done_testing();
