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
my $check = "select admin.sensitive_check('APP-100001-abcd')";
$old->safe_psql('postgres', $check) for 1 .. 20;
ok(wait_delivered($old), 'delivered before');
my $store = $old->safe_psql('postgres', 'select store_id from admin.store');
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
is($new->safe_psql('postgres', 'select count(*), max(audit_id) from admin.audit'), $rows, 'the trail is there');
$new->safe_psql('postgres', $check) for 1 .. 20;
ok(wait_delivered($new), 'what was waiting and what came is delivered');
is($new->safe_psql('postgres', 'select store_id from admin.store'), $store, 'the store is the same');
is(log_count($new, qr/store \S+ adopted by system/), 1, 'adopted once');
compare_ledger($new, 'each row once', $files);
$new->stop;
done_testing();
