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

is(ingest(1), answer(1), 'an event is accepted');
set_clock(40 * $day);
by_clock(sub { $node->restart });
ok($node->poll_query_until('postgres', q{select count(*) > 5 from admin.audit_partitions()}), 'months to come are made');
is(ingest(3), answer(1), 'another event is accepted 40 days later');
ok(wait_delivered($node), 'both ingested events are delivered');
configure($node, 'admin_ext.ingest_window' => '60d');
ok($node->poll_query_until('postgres', q{select admin_internal.ingest_window() = interval '60 days'}), 'events are looked for 60 days back');
$node->safe_psql('postgres', q{select admin.drop_audit_partitions('1 day')});
is($node->safe_psql('postgres', q{select count(*) from admin.audit where source_event_id is not null}), '2', 'drop_audit_partitions keeps a month that is within ingest_window');
is(ingest(1), answer(0), 'an event sent again within ingest_window is a duplicate');
configure($node, 'admin_ext.ingest_window' => '7d');
ok($node->poll_query_until('postgres', q{select admin_internal.ingest_window() = interval '7 days'}), 'events are looked for 7 days back');
is($node->safe_psql('postgres', q{select admin.drop_audit_partitions('1 day') > 0}), 't', 'drop_audit_partitions drops a month that is older than ingest_window');
is($node->safe_psql('postgres', q{select count(*) from admin.audit_attributes}), '2', 'the attributes of a dropped month are kept until ingest_tidy');
my ($code, $out, $error) = $node->psql('postgres', 'delete from admin.audit_attributes');
like($error, qr/append-only/, 'the attributes of events that are in the trail cannot be deleted');
is($node->safe_psql('postgres', q{select admin_internal.ingest_tidy(10)}), '1', 'ingest_tidy removes the attributes of a dropped month');
is($node->safe_psql('postgres', q{select string_agg(attributes::text, ' ') from admin.audit_attributes}), '{"sequence":"3"}', 'ingest_tidy keeps the attributes of events that are in the trail');
# The gap that 3 left, and 2 closes.
is(ingest(2), answer(1), 'a late event is accepted');
is($node->safe_psql('postgres', q{select count(*) from admin.ingest_gap where filled_at is not null}), '1', 'a late event closes its gap');
set_clock(60 * $day);
is($node->safe_psql('postgres', q{select admin_internal.ingest_tidy(10); select count(*) from admin.ingest_gap}), "1\n0", 'ingest_tidy removes a closed gap that is older than ingest_window');
ok(wait_delivered($node), 'all is delivered');
# CloudEvents' extension sequence orders as a string.
my @lines = ndjson_lines($node->data_dir . '/admin_ext');
my @own = grep { !m{^\{"specversion":"1.0","id":"\d+","source":"/ff"} } @lines;
is(join(' ', map { m/"id":"(\d+)".*"sequence":"(\d+)"/ && length $2 == 19 && $2 == $1 ? () : $_ } @own), '', 'the sequence of our own events is the audit_id in 19 digits');
is(join(' ', sort map { m/"sequence":"(\d+)"/ } grep { m{^\{"specversion":"1.0","id":"\d+","source":"/ff"} } @lines), '1 2 3', 'an ingested event keeps its own sequence');
ok(@own > 0, 'the files hold events that were not ingested');
$node->stop;
done_testing();
