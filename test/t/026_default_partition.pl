# The default partition in dumps: it is an ordinary table, and every way to dump and to load brings it along.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir();
my $node = new_node('node', conf => "admin_ext.databases = ''\nadmin_ext.require_verified_jwt = off\nfsync = off\n");
$node->safe_psql('postgres', 'create database source');
create_extension($node, 'source');
# Rows of a month that has no partition.
$node->safe_psql('source', q{select admin.issue_approval('pay', '{a}', now() + interval '1 day', 'r', 'APP-000001-a', 'ann');
	set admin_ext.restoring = on;
	insert into admin.audit (audit_id, event_type, recorded_at, payload) overriding system value values (1000, 'old', '2016-02-03', '{}')});
is($node->safe_psql('source', 'select count(*) from admin.audit_default'), '1', 'the default partition has a row');

# A load leaves events of its own.
my $rows = q{select md5(string_agg(tableoid::regclass || ' ' || a::text, '|' order by a::text)) from admin.audit as a
	where event_type not in ('setting.changed', 'guard.changed')};
my $shape = q{select string_agg(p.partition || ' ' || p.is_default || coalesce(' ' || p.lower_bound, ''), ',' order by p.partition::text) || ' '
	|| (select count(*) from admin.audit_partitions() as p, admin_internal.audit_partition_lacks(p.partition)) || ' '
	|| (select count(*) from pg_depend where objid = 'admin.audit_default'::regclass and deptype = 'e') from admin.audit_partitions() as p};
my $expected = $node->safe_psql('source', $rows) . "\n" . $node->safe_psql('source', $shape);

sub same
{
	my ($name) = @_;
	is($node->safe_psql('copy', $rows) . "\n" . $node->safe_psql('copy', $shape), $expected, "$name: the copy has the same rows and partitions");
}

sub load
{
	my ($name, @commands) = @_;
	local $ENV{PGOPTIONS} = '-c admin_ext.restoring=on';
	$node->safe_psql('postgres', 'drop database if exists copy');
	$node->safe_psql('postgres', 'create database copy');
	$node->command_ok($commands[$_], "$name: command " . ($_ + 1) . ", $commands[$_][0], succeeds") for 0 .. $#commands;
	same($name);
}

my @psql = ('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f');
foreach my $case (['plain', []], ['inserts', ['--inserts']], ['by the parent', ['--load-via-partition-root']], ['quoted', ['--quote-all-identifiers']],
	['the schema and the extension', ['-n', 'admin', '-e', 'admin_ext']])
{
	my ($name, $options) = @$case;
	$node->command_ok([ 'pg_dump', @$options, '-f', "$directory/dump.sql", 'source' ], "$name: pg_dump");
	load($name, [ @psql, "$directory/dump.sql" ]);
}
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$directory/c", 'source' ], 'pg_dump -Fc');
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$directory/d", 'source' ], 'pg_dump -Fd');
load('-Fc', [ 'pg_restore', '-d', 'copy', "$directory/c" ]);
load('-Fd -j', [ 'pg_restore', '-j', '3', '-d', 'copy', "$directory/d" ]);
load('sections', map { [ 'pg_restore', "--section=$_", '-d', 'copy', "$directory/c" ] } qw(pre-data data post-data));
load('onto a copy', [ 'pg_restore', '-d', 'copy', "$directory/c" ], [ 'pg_restore', '--clean', '--if-exists', '-d', 'copy', "$directory/c" ]);

# The backup of the schema alone, which loads into a database with the extension.
foreach my $options ([ '-n', 'admin' ], [ '-s', '-n', 'admin' ], [ '-a', '-n', 'admin' ], [ '-t', 'admin.audit*' ])
{
	$node->command_ok([ 'pg_dump', @$options, '-f', "$directory/part.sql", 'source' ], "pg_dump @$options");
}
$node->command_ok([ 'pg_dump', '-t', 'admin.audit_*', '-f', "$directory/part.sql", 'source' ], 'pg_dump of the partitions');

# Where the loading session does not say that it is one, the error does.
$node->safe_psql('postgres', 'drop database copy');
$node->safe_psql('postgres', 'create database copy');
$node->command_ok([ 'pg_dump', '-f', "$directory/dump.sql", 'source' ], 'pg_dump');
$node->command_fails_like([ @psql, "$directory/dump.sql" ], qr/set admin_ext\.restoring to on/, 'a load without admin_ext.restoring is refused with a hint');

# A part of a dump may bring none: the first call makes it.
$node->safe_psql('postgres', 'drop database copy');
$node->safe_psql('postgres', 'create database copy');
$node->safe_psql('copy', 'set client_min_messages = error; set admin_ext.restoring = on; create extension admin_ext');
is($node->safe_psql('copy', 'select count(*) from admin.audit_partitions()'), '0', 'loading begins without partitions');
is($node->safe_psql('copy', 'select admin.create_audit_partitions(0); select count(*) from admin.audit_partitions()'), "1\n2", 'create_audit_partitions() makes a month and the default partition where none is');
$node->safe_psql('copy', 'drop extension admin_ext');
is($node->safe_psql('copy', q{select count(*) from pg_class where relname ~ '^audit'}), '0', 'DROP EXTENSION drops the partitions that a call has made');

# The owner of the extension is no superuser any more: months are made all the same, rows caught by the default partition included.
$node->safe_psql('postgres', 'create role dba superuser login');
$node->safe_psql('postgres', 'drop database copy');
$node->safe_psql('postgres', 'create database copy');
$node->command_ok([ 'psql', '-Xq', '-U', 'dba', '-d', 'copy', '-c', 'set client_min_messages = error; create extension admin_ext' ], 'another superuser creates the extension');
$node->safe_psql('postgres', 'alter role dba nosuperuser');
$node->safe_psql('copy', q{select admin.sensitive_check('APP-000001-a')});
is($node->safe_psql('copy', 'select admin.create_audit_partitions(2); select count(*) from admin.audit_default'), "2\n0", 'months take the rows of the default partition after the owner is no superuser any more');

# A publication of all tables needs an identity of each row that changes.
$node->safe_psql('source', 'set client_min_messages = error; create publication everything for all tables');
is($node->safe_psql('source', q{select coalesce(string_agg(c.oid::regclass::text, ' '), '') from pg_class as c where c.relnamespace = 'admin'::regnamespace and c.relkind = 'r'
	and not (c.relreplident = 'f' or exists (select from pg_index as i where i.indrelid = c.oid and (i.indisprimary or i.indisreplident)))}), '', 'each table has a replica identity or a primary key');
$node->safe_psql('source', q{update admin.audit_dropped set below = below + 1; select admin.create_audit_partitions(6)});
is($node->safe_psql('source', q{select admin.drop_audit_partitions('100 years')}), '0', 'months can be dropped');
$node->stop;
done_testing();
