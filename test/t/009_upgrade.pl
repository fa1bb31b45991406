# pg_upgrade, from this major to itself: another cluster with the same data.  Delivery adopts
# it and goes on where it was.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $files = PostgreSQL::Test::Utils::tempdir . '/files';
my $conf = "admin_ext.ndjson_directory = '$files'\n";
my $old = new_node('old', conf => $conf);
create_extension($old);
create_cutover($old);
my $check = "select admin.sensitive_check('APP-100001-abcd')";
$old->safe_psql('postgres', 'select admin.create_audit_partitions()');
$old->safe_psql('postgres', $check) for 1 .. 20;
ok(wait_delivered($old), 'rows are delivered before pg_upgrade');
my $schema = "select item || ' ' || status || ' ' || detail from admin.cutover_readiness where area = 'schema' order by item";
my $ready = $old->safe_psql('postgres', $schema);
unlike($ready, qr/^A\d fail/m, 'the schema is as shipped before pg_upgrade');
my $store = $old->safe_psql('postgres', 'select store_id from admin.store');
my $key = 'select k.store_id, k.key, c.relrowsecurity from admin_internal.store_key as k, pg_class as c where c.oid = k.tableoid';
my $old_key = $old->safe_psql('postgres', $key);
# What is still waiting when the old cluster ends.
configure($old, 'admin_ext.sinks' => '');
ok($old->poll_query_until('postgres', 'select count(*) = 0 from admin.worker_status'), 'nobody delivers');
$old->safe_psql('postgres', $check) for 1 .. 20;
my $rows = $old->safe_psql('postgres', 'select count(*), max(audit_id) from admin.audit');
$old->stop;

my $new = new_node('new', conf => "admin_ext.sinks = ''\n$conf");
$new->stop;
my $bin = $new->config_data('--bindir');
chdir PostgreSQL::Test::Utils::tempdir or die;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
	'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
$new->append_conf('postgresql.conf', "admin_ext.sinks = 'ndjson'");
$new->start;
is($new->safe_psql('postgres', 'select count(*), max(audit_id) from admin.audit'), $rows, 'the trail has as many rows after pg_upgrade as before');
is($new->safe_psql('postgres', $schema), $ready, 'cutover_readiness says the same of the schema after pg_upgrade as before');
$new->safe_psql('postgres', 'alter table admin.approval drop constraint approval_action_length, add constraint approval_action_length check (octet_length(action) between 1 and 257)');
like($new->safe_psql('postgres', $schema), qr/^A1 fail constraint admin.approval.approval_action_length: expression is/m, 'cutover_readiness reports a constraint that is changed after pg_upgrade');
$new->safe_psql('postgres', 'alter table admin.approval drop constraint approval_action_length, add constraint approval_action_length check (octet_length(action) between 1 and 256)');
is($new->safe_psql('postgres', $schema), $ready, 'cutover_readiness no longer reports a constraint that is put right');
$new->safe_psql('postgres', $check) for 1 .. 20;
ok(wait_delivered($new), 'rows from before and after pg_upgrade are delivered');
is($new->safe_psql('postgres', 'select store_id from admin.store'), $store, 'the store is the same after pg_upgrade');
is($new->safe_psql('postgres', $key), $old_key, 'the key of the store is the same after pg_upgrade');
is(log_count($new, qr/store \S+ adopted by system/), 1, 'the new cluster adopts the store once');
compare_ledger($new, 'each row once across pg_upgrade', $files);
$new->stop;
done_testing();
