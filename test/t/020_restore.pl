# Every way to dump and restore: the same rows, the same sequences, the same triggers.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir();
my $node = new_node('node', conf => "admin_ext.databases = ''\nadmin_ext.require_verified_jwt = off\nfsync = off\n");
$node->safe_psql('postgres', 'create database source');
create_extension($node, 'source');
create_cutover($node, 'source');

# Every table of the extension that a user's data can be in has rows.
sub fill_source
{
	$node->safe_psql('source', <<'SQL');
set client_min_messages = error;
create table public.account (id int primary key, owner text);
select admin.attach_audit('public.account');
insert into public.account values (1, 'ann');
create extension refint schema pg_catalog;
create function public.by_hand() returns trigger language c as '$libdir/refint', 'check_primary_key';
select admin.issue_approval('payout', '{finance,legal}', now() + interval '1 day', 'account 7', format('APP-%s-a', lpad(n::text, 6, '0')), 'ann')
from generate_series(1, 200) as n;
select admin.sign_approval(format('APP-%s-a', lpad(n::text, 6, '0')), 'finance', 'bob') from generate_series(1, 200) as n;
select admin.sign_approval(format('APP-%s-a', lpad(n::text, 6, '0')), 'legal', 'eve') from generate_series(1, 100) as n;
select admin.withdraw_approval('APP-000007-a', 'a test', 'ann');
select admin.sensitive_check(format('APP-%s-a', lpad(n::text, 6, '0')), 'payout', 'account 7') from generate_series(1, 200) as n;
select admin.add_jwt_issuer('https://issuer.test', 'admin');
select admin.import_jwks('https://issuer.test', '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "alg": "EdDSA",
	"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}');
select admin.set_jwt_one_use('https://issuer.test', true);
select admin.audit_ingest('[{"specversion": "1.0", "id": "1", "source": "/ff", "type": "ptt.test", "sequence": "1", "data": {}},
	{"specversion": "1.0", "id": "9", "source": "/ff", "type": "ptt.test", "sequence": "9", "data": {}}]');
select admin.sensitive_check_shadow('{}', 'APP-000001-a'), admin.record_parity_run(1, 0, 0), admin.import_approvals('[]');
select admin.settle_shadow_difference(1, 'a test');
insert into admin.dead_letter (sink, audit_id, error) values ('kafka', 1, 'a test');
select admin.retry_dead_letter('kafka', 1);
select admin.grant_access('pg_monitor', 'auditor'), admin.set_action_policy('refund', '{finance}');
select admin.record_receipt(admin.store_id(), 'ndjson', 0, null, null, null, 'a test');
update admin.audit_dropped set below = 1;
SQL
	# Rows of an earlier month, which the default partition catches, and some that stay in it.
	$node->safe_psql('source', q{set admin_ext.restoring = on; set client_min_messages = error;
		insert into admin.audit (recorded_at, event_type, payload) values ('2025-03-05', 'test', '{}'), ('2025-03-06', 'test', '{}');
		select admin.create_audit_partitions();
		insert into admin.audit (recorded_at, event_type, payload) values ('2019-01-01', 'test', '{}')});
}

# name => md5 of the rows of each table that travels, the state of each sequence, and every trigger.
sub contents
{
	my ($database, $where) = @_;
	my @tables = split /\n/, $node->safe_psql('source', q{select relation from admin_internal.guarded_tables()
		where relation::text not in (select unnest(array['admin.store', 'admin.tick', 'admin.sink_position'])) order by 1});
	my @queries = map { "select '$_', count(*), md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from $_ as t" . left_out($_) } @tables;
	push @queries, map { "select '$_', last_value, is_called::text from $_" } split /\n/,
	  $node->safe_psql('source', q{select oid::regclass from pg_class where relkind = 'S' and relnamespace = 'admin'::regnamespace
			and oid <> 'admin.audit_audit_id_seq'::regclass order by 1});
	# The events of the load draw numbers above what it brings.
	push @queries, "select 'numbers', 1, (last_value >= (select max(audit_id) from admin.audit" . left_out('admin.audit') . '))::text from admin.audit_audit_id_seq';
	push @queries, q{select format('%s %s', t.tgrelid::regclass, t.tgname), 1, t.tgenabled::text from pg_trigger as t
		join admin_internal.guarded_tables() as g on g.relation = t.tgrelid where not (t.tgisinternal and t.tgparentid = 0)};
	push @queries, q{select conname, 1, pg_get_constraintdef(oid) || convalidated from pg_constraint where contype = 'f'};
	return ($where // $node)->safe_psql($database, join(' union all ', @queries) . ' order by 1');
}

# The restore leaves events of its own in the trail of the copy.
sub left_out
{
	my ($table) = @_;
	return $table =~ /^admin\.audit($|_y|_default)/ ? " where event_type not in ('setting.changed', 'guard.changed', 'sink.resynced')" : '';
}

sub load
{
	my ($name, @commands) = @_;
	local $ENV{PGOPTIONS} = '-c admin_ext.restoring=on';
	$node->safe_psql('postgres', 'drop database if exists copy');
	$node->safe_psql('postgres', 'create database copy');
	$node->command_ok($commands[$_], "$name: command " . ($_ + 1) . ", $commands[$_][0], succeeds") for 0 .. $#commands;
}

fill_source();
chdir $directory or die;
my $expected = contents('source');
my ($empty) = grep { /^admin\.\w+\|0\|/ && !/audit_y|audit_default|jwt_used|sink_skipped/ } split /\n/, $expected;
is($empty, undef, 'every table that travels has rows to compare');

# What the load of each table has left, whichever session loaded it: TRUNCATE of a month takes no event along.
sub loaded
{
	return $node->safe_psql('copy', q{select k, v from admin.audit, lateral json_each_text(payload -> 'loaded') as l(k, v)
		where event_type = 'setting.changed' and json_typeof(payload -> 'loaded') = 'object' and k not like 'admin.audit\_%' order by 1, 2});
}

my $restore = [ 'pg_restore', '-d', 'copy' ];
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$directory/d", 'source' ], 'pg_dump -Fd -j 2');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$directory/c", 'source' ], 'pg_dump -Fc');
load('pg_restore with one job', [ @$restore, "$directory/d" ]);
is(log_count($node, qr/the audit trail cannot take/), 0, 'what another extension has in pg_catalog is no event that the trail cannot take yet');
is(log_count($node, qr/could not record/), 0, 'loading a function in C logs no event that could not be recorded');
my $one_by_one = loaded();
like($one_by_one, qr/^admin\.approval\|200$/m, 'one job leaves an event of what it has loaded');
for my $run (1 .. 5)
{
	load("pg_restore -j 4, run $run", [ @$restore, '-j', '4', "$directory/d" ]);
	is(contents('copy'), $expected, "pg_restore -j 4 gives the same data back, run $run");
	is(loaded(), $one_by_one, "pg_restore -j 4 leaves the same events as one job, run $run");
}
# The events of the load have the highest numbers; a dump sets the sequence to what it has itself.
is($node->safe_psql('copy', 'select * from admin.restore_guards()'), '', 'restore_guards() finds nothing to mend after pg_restore -j 4, no sequence either');

# Which way => [arguments of pg_dump, commands that load].
my @ways = (
	[ 'plain' => [], [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', "$directory/dump" ] ],
	[ 'one transaction' => ['-Fc'], [ @$restore, '-1', "$directory/dump" ] ],
	[ 'inserts' => [ '-Fc', '--rows-per-insert=7' ], [ @$restore, '-j', '3', "$directory/dump" ] ],
	[ 'column inserts' => [ '-Fc', '--column-inserts', '--on-conflict-do-nothing' ], [ @$restore, "$directory/dump" ] ],
	[ 'quoted identifiers' => [ '-Fc', '--quote-all-identifiers' ], [ @$restore, '-j', '3', "$directory/dump" ] ],
	[ 'by the root' => [ '-Fc', '--load-via-partition-root' ], [ @$restore, '-j', '3', "$directory/dump" ] ],
	[ 'serializable' => [ '-Fc', '--serializable-deferrable', '--no-sync' ], [ @$restore, '-j', '3', "$directory/dump" ] ],
	[ 'sections' => ['-Fc'], map { [ @$restore, '-j', '3', "--section=$_", "$directory/dump" ] } qw(pre-data data post-data) ],
	[ 'schemas' => [ '-Fc', '-n', 'admin', '-n', 'public', '-e', 'admin_ext*' ], [ 'psql', '-X', '-q', '-d', 'copy', '-c', 'drop schema public' ],
		[ @$restore, '-j', '3', "$directory/dump" ] ],
	[ 'data after the schema' => ['-a'], [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', "$directory/schema" ],
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', "$directory/dump" ] ],
	[ 'tar' => ['-Ft'], [ @$restore, "$directory/dump" ] ],
	[ 'clean' => [ '-Fc', '--clean', '--if-exists' ], [ @$restore, '--clean', '--if-exists', "$directory/dump" ],
		[ @$restore, '--clean', '--if-exists', "$directory/dump" ] ],
);
$node->command_ok([ 'pg_dump', '-s', '-f', "$directory/schema", 'source' ], 'pg_dump of the schema');
foreach my $way (@ways)
{
	my ($name, $arguments, @commands) = @$way;
	$node->command_ok([ 'pg_dump', @$arguments, '-f', "$directory/dump", 'source' ], "$name: pg_dump succeeds");
	load($name, @commands);
	is(contents('copy'), $expected, "$name: the copy has the same data as the source");
}

# A part of the trail, and forms that used to end pg_dump 15 with a segmentation fault.
foreach my $part ([ '-n', 'admin' ], [ '-s', '-n', 'admin' ], [ '-a', '-n', 'admin' ], [ '-t', 'admin.audit*' ], [ '-a', '-t', 'admin.audit' ])
{
	$node->command_ok([ 'pg_dump', @$part, '-f', "$directory/part", 'source' ], "pg_dump @$part");
}
$node->command_ok([ 'pg_dump', '-a', '-t', 'admin.audit*', '-f', "$directory/part", 'source' ], 'pg_dump of the rows of the trail');
my $rows = () = slurp_file("$directory/part") =~ /^\d+\t\d+\t2\d\d\d-/mg;
is($rows, $node->safe_psql('source', 'select count(*) from admin.audit'), 'pg_dump -t admin.audit* has the rows of every partition, the default one too');

# The whole cluster, into another one.
my $other = new_node('other', conf => "admin_ext.databases = ''\nadmin_ext.require_verified_jwt = off\nfsync = off\n");
$node->command_ok([ 'pg_dumpall', '--exclude-database=template*', '-f', "$directory/all" ], 'pg_dumpall');
{
	local $ENV{PGOPTIONS} = '-c admin_ext.restoring=on';
	$other->command_ok([ 'psql', '-X', '-q', '-d', 'postgres', '-f', "$directory/all" ], 'psql of all databases');
}
is(contents('source', $other), $expected, 'pg_dumpall: the other cluster has the same data as the source');
is($other->safe_psql('source', q{select admin.sensitive_check('APP-000001-a', 'payout', 'account 7') ->> 'decision'}), 'valid', 'pg_dumpall: an approval that was fully signed is valid in the other cluster');
$other->stop;

# A tool that disables triggers enables them as ORIGIN afterwards.
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$directory/dump", 'source' ], 'pg_dump for data only');
load('data only', [ @$restore, '--section=pre-data', '--section=post-data', "$directory/dump" ],
	[ @$restore, '-j', '4', '--data-only', '--disable-triggers', "$directory/dump" ]);
isnt(contents('copy'), $expected, '--disable-triggers leaves triggers that are not enabled always');
my $mended = $node->safe_psql('copy', 'select count(*) from admin.restore_guards() where mended');
cmp_ok($mended, '>', 30, 'restore_guards() mends the triggers that --disable-triggers left');
is(contents('copy'), $expected,
	'all triggers are enabled always, on attached tables too');
is($node->safe_psql('copy', q{select count(*), max(json_array_length(payload -> 'faults')) from admin.audit where event_type = 'guard.changed' and payload ->> 'command' = 'admin.restore_guards()'}), "1|$mended",
	'one event in the trail names what was mended');
is($node->safe_psql('copy', 'select * from admin.restore_guards()'), '', 'a second call of restore_guards() finds nothing to mend');

# The same by other tools, in place.
$node->safe_psql('copy', 'alter table admin.signature disable trigger all; alter table admin.approval disable trigger all; alter table public.account disable trigger all');
$node->safe_psql('copy', 'alter table admin.signature enable trigger user; alter table public.account enable trigger all');
like($node->safe_psql('copy', 'select fault from admin.restore_guards()'), qr/of foreign key signature_approval_id_fkey was disabled/, 'disabled foreign keys are named');
my ($rc, undef, $error) = $node->psql('copy', q{insert into admin.signature (approval_id, signer_role, signer) values ('APP-999999-a', 'r', 'you')});
like($error, qr/does not exist/, 'signatures without an approval are refused after restore_guards()');
$node->safe_psql('copy', 'alter table admin.audit_default disable trigger all; alter table admin.audit_default enable trigger all; select admin.create_audit_partitions()');
is($node->safe_psql('copy', q{select count(*) from pg_trigger where tgrelid = 'admin.audit_default'::regclass and tgenabled <> 'A'}), 0,
	'create_audit_partitions() enables the triggers of a partition always');
$node->safe_psql('copy', 'alter table admin.approval enable row level security; alter table admin.tick replica identity nothing; delete from admin.audit_dropped');
is($node->safe_psql('copy', 'select fault from admin.restore_guards() order by 1'), "replica identity was nothing\nrow level security was on\nthe row was missing",
	'restore_guards() names row level security, replica identity and a missing row');

# A dump without its parents, and sequences that stayed behind.
$node->safe_psql('copy', q{set admin_ext.restoring = on; insert into admin.signature (approval_id, signer_role, signer, approval_digest)
	values ('APP-999999-a', 'r', 'you', sha256('')); select setval('admin.signature_signature_id_seq', 1)});
($rc, undef, $error) = $node->psql('copy', 'set admin_ext.restoring = on; select admin.restore_guards()');
like($error, qr/admin_ext.restoring is on/, 'restore_guards() is refused while rows may be loaded');
is($node->safe_psql('copy', 'select * from admin.restore_guards() order by 2'), "admin.signature|foreign key signature_approval_id_fkey: 1 rows have no row in admin.approval|f\n"
	. 'admin.signature|sequence admin.signature_signature_id_seq was behind 302|t', 'rows without a parent are named, sequences move on');

# Foreign keys are off for the loading statement only.
is($node->safe_psql('copy', q{set admin_ext.restoring = on; begin;
	insert into admin.jwt_key (issuer, kid, alg, jwk) values ('nobody', 'k', 'EdDSA', '{}'); show session_replication_role; rollback}), 'origin',
	'session_replication_role is put back after the statement');
($rc, undef, $error) = $node->psql('copy', q{set admin_ext.restoring = on; begin;
	savepoint s; insert into admin.jwt_key (issuer, kid, alg, jwk) values ('nobody', null, 'EdDSA', '{}'); rollback to s;
	set admin_ext.restoring = off; insert into admin.jwt_key (issuer, kid, alg, jwk) values ('nobody', 'k', 'EdDSA', '{}')}, on_error_stop => 0);
like($error, qr/violates foreign key constraint "jwt_key_issuer_fkey"/, 'foreign keys hold after a loading statement failed and restoring was turned off');
($rc, undef, $error) = $node->psql('copy', q{insert into admin.jwt_key (issuer, kid, alg, jwk) values ('nobody', 'k', 'EdDSA', '{}')});
like($error, qr/violates foreign key constraint "jwt_key_issuer_fkey"/, 'without restoring the foreign keys hold');
$node->stop;
done_testing();
