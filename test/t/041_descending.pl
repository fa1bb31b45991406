# A DBA has replaced the indexes of a month by descending ones: delivery reads every row by them, in the same order.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use Test::More;

my $node = new_node('descending', conf => "admin_ext.retry_backoff_max = '300ms'\n");
my $files = $node->data_dir . '/admin_ext';
create_extension($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my $month = sql('select partition from admin.audit_partitions() where now() >= lower_bound and now() < upper_bound');
my $ascending = "select i.indexrelid::regclass from pg_index as i where i.indrelid = '$month'::regclass and i.indkey::text in ('1', '2 1') and i.indoption::text not in ('3', '3 3')";
sql("create unique index on $month (audit_id desc); create index on $month (xid desc, audit_id desc)");
sql(sprintf 'alter table %s drop constraint %s_pkey', $month, $month =~ s/.*\.//r);
sql("drop index $_") for split /\n/, sql($ascending);

my $rows = q{select count(admin_internal.append_event('many', '{"i": 1}', 'APP-000001-' || (i % 7))) from generate_series(1, %d) as i};
my $late = $node->background_psql('postgres', on_error_stop => 1);
$late->query_safe('begin; ' . sprintf($rows, 10));
sql(sprintf $rows, 5000);
ok($node->poll_query_until('postgres', 'select lag_rows = 0 and delivered_rows > 5000 from admin.worker_status'), 'rows are delivered while a transaction with rows is open');
$late->query_safe('commit');
$late->quit;
ok(wait_delivered($node), 'the rows of an open transaction are delivered after its commit');
is(repeated(event_keys(ndjson_lines($files))), '', 'each row is delivered once');
my $delivered = ndjson_lines($files);

# By audit_id, and by another index than windows.
sql("select admin.resync_sink('ndjson', 1)");
ok(wait_delivered($node), 'the trail is sent again');
my @lines = ndjson_lines($files);
my @again = map { /"auditid":"(\d+)"/ } @lines[$delivered .. $#lines];
is("@again", join(' ', split /\n/, sql('select audit_id from admin.audit order by audit_id')), 'every row is sent again, in order of audit_id');
is(sql($ascending), '', 'the month has no ascending index that delivery can read by');
$node->stop;
done_testing();
