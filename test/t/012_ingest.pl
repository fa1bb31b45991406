# Months with ingested events: dropped no earlier than events are looked for, and what belongs to
# them goes with them.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Clock;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

set_clock(0);
my $node;
by_clock(sub { $node = new_node('ingest', conf => "admin_ext.retention = '1 day'\n") });
create_extension($node);

sub ingest
{
	my ($id) = @_;
	return $node->safe_psql('postgres', qq{select admin.audit_ingest('[{"specversion": "1.0", "id": "$id", "source": "/ff", "type": "t", "sequence": "$id"}]') - 'rejected'});
}

sub answer { my ($accepted) = @_; return sprintf '{"accepted": %d, "duplicates": %d}', $accepted, 1 - $accepted; }

is(ingest(1), answer(1), 'an event comes');
set_clock(40 * $day);
by_clock(sub { $node->restart });
ok($node->poll_query_until('postgres', q{select count(*) > 5 from admin.audit_partitions()}), 'months to come are made');
is(ingest(3), answer(1), 'another one, 40 days later');
ok(wait_delivered($node), 'both are delivered');
configure($node, 'admin_ext.ingest_window' => '60d');
ok($node->poll_query_until('postgres', q{select admin_internal.ingest_window() = interval '60 days'}), 'events are looked for 60 days back');
$node->safe_psql('postgres', q{select admin.drop_audit_partitions('1 day')});
is($node->safe_psql('postgres', q{select count(*) from admin.audit where source_event_id is not null}), '2', 'then the month of the first one is not dropped');
is(ingest(1), answer(0), 'and the first event is known');
configure($node, 'admin_ext.ingest_window' => '7d');
ok($node->poll_query_until('postgres', q{select admin_internal.ingest_window() = interval '7 days'}), 'events are looked for 7 days back');
is($node->safe_psql('postgres', q{select admin.drop_audit_partitions('1 day') > 0}), 't', 'then it is');
is($node->safe_psql('postgres', q{select count(*) from admin.audit_attributes}), '2', 'its attributes are there still');
my ($code, $out, $error) = $node->psql('postgres', 'delete from admin.audit_attributes');
like($error, qr/append-only/, 'and those of other months cannot be removed');
is($node->safe_psql('postgres', q{select admin_internal.ingest_tidy(10)}), '1', 'they are removed when the worker comes by');
is($node->safe_psql('postgres', q{select string_agg(attributes::text, ' ') from admin.audit_attributes}), '{"sequence":"3"}', 'and no others');
# The gap that 3 left, and 2 closes.
is(ingest(2), answer(1), 'a late one');
is($node->safe_psql('postgres', q{select count(*) from admin.ingest_gap where filled_at is not null}), '1', 'closes its gap');
set_clock(60 * $day);
is($node->safe_psql('postgres', q{select admin_internal.ingest_tidy(10); select count(*) from admin.ingest_gap}), "1\n0", 'which is forgotten after the window');
ok(wait_delivered($node), 'all is delivered');
# CloudEvents' extension sequence orders as a string.
my @lines = ndjson_lines($node->data_dir . '/admin_ext');
my @own = grep { !m{^\{"specversion":"1.0","id":"\d+","source":"/ff"} } @lines;
is(join(' ', map { m/"id":"(\d+)".*"sequence":"(\d+)"/ && length $2 == 19 && $2 == $1 ? () : $_ } @own), '', 'the sequence of our own events is the audit_id in 19 digits');
is(join(' ', sort map { m/"sequence":"(\d+)"/ } grep { m{^\{"specversion":"1.0","id":"\d+","source":"/ff"} } @lines), '1 2 3', 'an ingested event keeps its own');
ok(@own > 0, 'there are events of both');
$node->stop;
done_testing();
