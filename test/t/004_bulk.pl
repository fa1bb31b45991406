# Transactions of a million rows, rotation, a full disk, partitions that may and may not go.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('bulk', conf => "admin_ext.ndjson_rotate_size = '64MB'\nfsync = off\nmax_wal_size = 4GB\nadmin_ext.retention = '1 day'\n");
create_extension($node);
my $rows = $ENV{BULK_ROWS} // 1_100_000;
my $insert = q{select count(admin_internal.append_event('bulk', '{"i": 1}', 'APP-000001-' || (i %% 7))) from generate_series(1, %d) as i};

# One that is rolled back, one that is committed, others meanwhile; more keys than are kept at a time.
$node->safe_psql('postgres', 'begin; ' . sprintf($insert, 100_000) . '; rollback');
$node->safe_psql('postgres', 'begin; ' . sprintf($insert, $rows) . '; savepoint s; ' . sprintf($insert, 1000)
	  . '; rollback to s; ' . sprintf($insert, 1000) . '; commit');
$node->safe_psql('postgres', sprintf($insert, 10));
ok($node->poll_query_until('postgres', q{select lag_rows = 0 and state = 'idle' and delivered_rows > 0 from admin.worker_status}), 'a large transaction is delivered');
compare_ledger($node, 'a large transaction');
cmp_ok(scalar(() = glob($node->data_dir . '/admin_ext/*-*.ndjson')), '>', 1, 'files are rotated');

# Line breaks, odd characters and large payloads.
write_by_hand($node, <<'SQL');
insert into admin.audit (event_type, approval_id, actor, request_id, traceparent, payload) values
('odd', E'q"uo\\te\tt\x01\n', 'ä ☃ 😀', E'\r\n', '', E'{"a":\n\n [1,\r\n\t2]}'),
('odd', null, null, null, null, to_json(repeat('x', 20000000))),
('odd', 'APP-000001-x', null, null, null, 'null');
SQL
ok(wait_delivered($node), 'odd rows are delivered');
my @odd = grep { /"type":"ptt\.admin\.odd"/ } ndjson_lines($node->data_dir . '/admin_ext');
is(scalar(@odd), 3, 'each of three odd rows is one line');
my $event = JSON::PP->new->utf8->decode($odd[0]);
is($event->{subject}, "q\"uo\\te\tt\x01\n", 'control characters survive');
is($event->{actor}, "\x{e4} \x{2603} \x{1f600}", 'characters beyond ASCII survive');
is_deeply($event->{data}, { a => [ 1, 2 ] }, 'line breaks of a payload become blanks');
ok(!exists JSON::PP->new->utf8->decode($odd[2])->{actor}, 'absent values are absent keys');

# A full disk.
my $disk = $ENV{SMALL_DISK} or die 'SMALL_DISK is to name a small file system';
$node->append_conf('postgresql.conf', "admin_ext.ndjson_directory = '$disk'");
$node->reload;
$node->safe_psql('postgres', sprintf($insert, 20_000));
ok(wait_status($node, 'backing_off'), 'a full disk: backing_off');
like(status($node, 'last_error'), qr/No space left/, 'last_error says that no space is left');
ok(poll(sub { ends_whole("$disk/*-*.ndjson") }), 'no half line is left behind');
unlink "$disk/ballast" or die 'no ballast';
ok($node->poll_query_until('postgres', q{select lag_rows = 0 and state = 'idle' from admin.worker_status}), 'delivery goes on when a full disk has space again');
my %ids;
$ids{$_}++ for map { m/"auditid":"(\d+)"/ } ndjson_lines($disk);
is(scalar(keys %ids), 20_000, 'no row is lost on a disk that was full');
is(scalar(grep { $_ > 1 } values %ids), 0, 'no row is written twice to a disk that was full');

sub ends_whole
{
	my ($pattern) = @_;
	return !grep { my $text = slurp_file($_); length $text && $text !~ /\n\z/ } glob $pattern;
}

# Partitions.
write_by_hand($node, q{insert into admin.audit (event_type, recorded_at, payload) values ('old', now() - interval '3 years', '{}')});
ok(wait_delivered_soon($node), 'an old row is delivered');
is($node->safe_psql('postgres', 'select admin.create_audit_partitions(0)'), 0, 'what the default partition caught becomes one of its own');
is($node->safe_psql('postgres', 'select count(*) from admin.audit_default'), 0, 'the default partition is empty after create_audit_partitions');
$node->append_conf('postgresql.conf', "admin_ext.ndjson_directory = '$disk/none/none'");
$node->reload;
ok(wait_status($node, 'backing_off'), 'the sink is down');
write_by_hand($node, q{insert into admin.audit (event_type, recorded_at, payload) values ('old', now() - interval '2 years', '{}')});
$node->safe_psql('postgres', 'select admin.create_audit_partitions(0)');
my ($rc, undef, $error) = $node->psql('postgres', q{select admin.drop_audit_partitions('1 year')});
like($error, qr/holds rows that sink "ndjson" has not delivered/, 'undelivered rows keep their partition');
$node->append_conf('postgresql.conf', "admin_ext.ndjson_directory = 'admin_ext'");
$node->reload;
ok(wait_delivered_soon($node), 'the old row is delivered when the sink works again');
is($node->safe_psql('postgres', q{select admin.drop_audit_partitions('1 year')}), 2, 'partitions whose rows are delivered are dropped');
is($node->safe_psql('postgres', q{select count(*) from admin.audit where event_type = 'old'}), 0, 'the rows of dropped partitions are gone');

sub wait_delivered_soon
{
	my ($n) = @_;
	return $n->poll_query_until('postgres', q{select count(*) = 0 from admin.audit_delivery
		where sink_status <> 'delivered' and audit_id in (select audit_id from admin.audit where event_type = 'old')});
}

$node->stop;
done_testing();
