# A copy by logical replication as doc/copies.md has it: publication for all tables, every statement
# of the product on the publisher, the same rows on the subscriber, and then the subscriber takes over.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "wal_level = logical\nmax_wal_senders = 30\nmax_replication_slots = 30\nwal_retrieve_retry_interval = '100ms'\n"
  . "admin_ext.require_verified_jwt = off\nadmin_ext.sweep_interval = 0\nfsync = off\nlog_min_messages = warning\n";
my $source = new_node('source', conf => $conf);
my $copy = new_node('copy', conf => $conf);
create_extension($source);
create_cutover($source);
$source->safe_psql('postgres', q{create table public.account (id int primary key, owner text); select admin.attach_audit('public.account')});

# What a table needs for UPDATE and DELETE while it is published.
is($source->safe_psql('postgres', q{select relation from admin_internal.guarded_tables() as g join pg_class as c on c.oid = g.relation
	where c.relkind = 'r' and (c.relreplident = 'n' or c.relreplident = 'd' and not exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary))}),
	'', 'every table has a replica identity');

# Every statement of the product; %s keeps approvals of two runs apart.
sub use_product
{
	my ($run) = @_;
	$source->safe_psql('postgres', sprintf(<<'SQL', $run));
\set run '%s'
set client_min_messages = error;
select admin.issue_approval('payout', '{finance,legal}', now() + interval '1 day', 'account 7', format('APP-%%s-%%s', lpad(n::text, 6, '0'), :'run'), 'ann')
from generate_series(1, 20) as n;
select admin.sign_approval(format('APP-%%s-%%s', lpad(n::text, 6, '0'), :'run'), 'finance', 'bob') from generate_series(1, 15) as n;
select admin.sign_approval(format('APP-%%s-%%s', lpad(n::text, 6, '0'), :'run'), 'legal', 'eve') from generate_series(1, 10) as n;
select admin.withdraw_approval('APP-000007-' || :'run', 'a test', 'ann'), admin.withdraw_approval('APP-000017-' || :'run', 'a test', 'ann');
update admin.approval set sla_deadline = now() + interval '2 days' where approval_id = 'APP-000020-' || :'run';
update admin.approval set sla_deadline = now() - interval '1 hour' where approval_id = 'APP-000019-' || :'run';
select admin.sensitive_check(format('APP-%%s-%%s', lpad(n::text, 6, '0'), :'run'), 'payout', 'account 7') from generate_series(1, 20) as n;
select admin.sweep_expired();
select admin.audit_ingest(format('[{"specversion": "1.0", "id": "%%s-1", "source": "/ff", "type": "ptt.test", "sequence": "%%s1", "data": {}},
	{"specversion": "1.0", "id": "%%s-9", "source": "/ff", "type": "ptt.test", "sequence": "%%s9", "data": {}}]', :'run', ascii(:'run'), :'run', ascii(:'run'))::jsonb);
select admin.add_jwt_issuer('https://issuer.test/' || :'run', 'admin');
select admin.import_jwks('https://issuer.test/' || :'run', '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "alg": "EdDSA",
	"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}');
select admin.set_jwt_one_use('https://issuer.test/' || :'run', true), admin.revoke_jwt_key('https://issuer.test/' || :'run', 'k1');
select admin.sensitive_check_shadow('{}', 'APP-000001-' || :'run'), admin.record_parity_run(1, 0, 0), admin.import_approvals('[]');
select admin.settle_shadow_difference((select max(shadow_id) from admin.shadow_check), 'a test');
insert into admin.dead_letter (sink, audit_id, error) values ('other', ascii(:'run'), 'a test');
select admin.retry_dead_letter('other', ascii(:'run'));
select admin.create_audit_partitions(3 + ascii(:'run') - ascii('a'));
select admin.grant_access('pg_monitor', 'auditor'), admin.set_action_policy('refund-' || :'run', '{finance}');
select admin.record_receipt(admin.store_id(), 'ndjson', 0, null, null, null, 'a test of run ' || :'run');
insert into public.account values (ascii(:'run'), 'ann'); update public.account set owner = 'bob'; delete from public.account where id < ascii(:'run');
SQL
}
use_product('a');
ok(wait_delivered($source), 'the publisher delivers');

# The subscriber: the schema first, and nothing else.
my (undef, $load_schema, $subscribe, $wait_copied, $wait_delivered, $take_over) = page_commands('copies.md', 'Copy by logical replication');
$copy->safe_psql('postgres', 'create database mydb');
configure($copy, 'admin_ext.databases' => 'mydb');
my %databases = (
	OLD => join(' ', 'host=' . $source->host, 'port=' . $source->port, 'dbname=postgres'),
	NEW => join(' ', 'host=' . $copy->host, 'port=' . $copy->port, 'dbname=mydb'));
chdir PostgreSQL::Test::Utils::tempdir() or die;
run_commands($copy, $load_schema, %databases);
$copy->safe_psql('mydb', 'alter database mydb set admin_ext.restoring = off');
run_commands($copy, $subscribe, %databases);
foreach my $table (qw(approval signature audit_y\d+m\d+ jwt_issuer store tick account))
{
	ok(poll(sub { log_count($copy, qr/table "$table" does not take rows from a subscription/) > 0 }), "without restoring, rows of $table are refused");
}
like(slurp_file($copy->logfile), qr/HINT:  Set it with ALTER DATABASE mydb SET admin_ext.restoring = on, and follow doc\/copies.md/, 'the log says how to set admin_ext.restoring for a subscription');
is($copy->safe_psql('mydb', q{select count(*) from admin.audit where event_type not in ('setting.changed', 'guard.changed', 'sink.resynced')}), 0, 'without restoring, the subscriber gets no row of the trail');
$copy->safe_psql('mydb', 'alter database mydb set admin_ext.restoring = on');
ok(poll(sub { run_commands($copy, $wait_copied, %databases) =~ /\(0 rows\)/ }, 40), 'with restoring, the subscription copies every table');

# The same rows in every table but those of delivery.
sub contents
{
	my ($node, $database) = @_;
	my @tables = grep { !/^admin\.(store|tick|sink_position)$/ } split /\n/, $source->safe_psql('postgres',
		q{select relation from admin_internal.guarded_tables() as g join pg_class as c on c.oid = g.relation where not c.relispartition order by 1});
	return $node->safe_psql($database,
		join(' union all ', map { "select '$_', count(*), md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from $_ as t" . left_out($_) } @tables) . ' order by 1');
}

# Loading the schema, and each setting, leaves events of its own in the trail of the copy.
sub left_out
{
	my ($table) = @_;
	return $table =~ /^admin\.audit$/ ? " where event_type not in ('setting.changed', 'guard.changed', 'sink.resynced')" : '';
}

sub caught_up
{
	$source->wait_for_catchup('admin_copy');
	return contents($copy, 'mydb') eq contents($source, 'postgres');
}
ok(poll(\&caught_up, 40), 'the first copy has the same rows') or is(contents($copy, 'mydb'), contents($source, 'postgres'));

# Everything again while the subscription runs, months dropped too.
use_product('b');
$source->safe_psql('postgres', 'select admin.drop_audit_partitions(interval \'9 years\')');
ok(wait_delivered($source), 'the publisher delivers while the subscription runs');
ok(poll(\&caught_up, 40), 'the subscriber has the same rows after further changes on the publisher') or is(contents($copy, 'mydb'), contents($source, 'postgres'));
my ($empty) = grep { /^admin\.\w+\|0\|/ && !/jwt_used|sink_skipped/ } split /\n/, contents($copy, 'mydb');
is($empty, undef, 'every table that travels has rows to compare');
is($copy->safe_psql('mydb', 'select count(*) from admin.store where adopted_at is null'), 1, 'the store of the copy is not adopted before the copy takes over');
my ($rc, undef, $error) = $copy->psql('mydb', q{update admin.approval set state = 'pending' where approval_id = 'APP-000001-a'});
like($error, qr/cannot go from signed_full to pending/, 'the guard of the copy refuses an update by hand that makes an approval pending again');

# Take over.
my $highest = $source->safe_psql('postgres', 'select max(audit_id) from admin.audit');
ok(poll(sub { run_commands($copy, $wait_delivered, %databases) eq "0\nt\n" }), 'everything is delivered and copied');
ok($copy->poll_query_until('mydb', q{select state = 'stopped' and last_error ~ 'loaded from a dump' from admin.worker_status where database = 'mydb'}),
	'delivery of the copy waits');
my $mended = run_commands($copy, $take_over, %databases);
like($mended, qr/sequence admin.signature_signature_id_seq was behind/, 'taking over moves the sequence of signatures');
unlike($mended =~ s/^.*sequence .*\n//mgr, qr/\| [tf]$/m, 'taking over finds nothing to mend but sequences');
is($copy->safe_psql('mydb', 'select * from admin.restore_guards()'), '', 'restore_guards() finds nothing to mend after the copy has taken over');
$copy->safe_psql('mydb', q{select admin.sensitive_check('APP-000001-b', 'payout', 'account 7'), admin.sign_approval('APP-000012-b', 'legal', 'eve'),
	admin.issue_approval('payout', '{finance}', now() + interval '1 day', null, 'APP-000001-c', 'ann')});
ok($copy->poll_query_until('mydb', "select count(*) > 0 from admin.audit_delivery where audit_id > $highest and sink_status = 'delivered'"), 'the copy delivers new rows after it has taken over');
ok(wait_settled($copy, 'mydb'), 'no row of the copy is pending after it has taken over');
my @ids = map { m/"auditid":"(\d+)"/ } ndjson_lines($copy->data_dir . '/admin_ext', 'mydb');
is(scalar(grep { $_ <= $highest } @ids), 0, 'nothing that the source has delivered is delivered again');
is("@ids", $copy->safe_psql('mydb', "select string_agg(audit_id::text, ' ' order by audit_id) from admin.audit where audit_id > $highest"), 'every row after the last one of the source is delivered once, in order');
is($copy->safe_psql('mydb', q{select admin.sensitive_check('APP-000012-b', 'payout', 'account 7') ->> 'decision'}), 'valid', 'an approval that was half signed on the source is valid once it is signed on the copy');
is($copy->safe_psql('mydb', q{select count(*) filter (where (admin.replay_check(audit_id) ->> 'equal')::boolean), count(*) from admin.audit where event_type = 'sensitive.check.2b'})
	=~ s/^(\d+)\|\1$/equal/r, 'equal', 'every check recorded on the source or the copy replays to the same answer');
$copy->stop;
$source->stop;
done_testing();
