# Databases that were dropped leave their places in shared memory to others: numbers of the trail, and how long checks took.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# So many places there are for the numbers; there are fewer for the durations.
my $places = 64;
my $node = new_node('databases');
$node->append_conf('postgresql.conf', "fsync = off\nadmin_ext.databases = ''\n");
$node->restart;
create_extension($node);
my $check = q{select (admin.sensitive_check('APP-000001-a') -> 'audit' ->> 'audit_id')::bigint};
$node->safe_psql('postgres', $check);

# A copy of a database has its trail, and a number to draw.
$node->safe_psql('postgres', 'create database pattern');
$node->safe_psql('pattern', 'create extension admin_ext; create extension admin_ext_cutover; select admin.create_audit_partitions()');
for my $i (1 .. $places)
{
	$node->safe_psql('postgres', 'create database copy template pattern');
	$node->safe_psql('copy', $check);
	$node->safe_psql('postgres', 'drop database copy');
}

$node->safe_psql('postgres', 'create database copy template pattern');
my $early = $node->background_psql('copy');
my $first = $early->query_safe($check);
my $last = $node->safe_psql('copy', "$check from generate_series(1, 50) offset 49");
cmp_ok($last, '>=', $first + 50, 'other sessions have drawn numbers');
$node->safe_psql('copy', q{begin; select setval('admin.audit_audit_id_seq', 1); rollback});
cmp_ok($early->query_safe($check), '>', $last, 'sessions of the last database know what the others have drawn');
is($node->safe_psql('copy', 'select calls from admin.check_latency'), 52, 'the checks of the last database are counted');
like($node->safe_psql('copy', q{select detail from admin.cutover_readiness where item = 'E3'}), qr/^of 52 checks in the last hour/, 'readiness reports the checks of the last database');
is($node->safe_psql('postgres', 'select calls from admin.check_latency'), 1, 'a database that still exists keeps its place');
$early->quit;
$node->stop;
done_testing();
