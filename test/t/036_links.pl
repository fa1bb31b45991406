# The table of links stays as small as it is meant to be, however often a worker starts again.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use Test::More;

my $kept = 20;
my $node = new_node('links', conf => "admin_ext.batch_rows = 2\n");
create_extension($node);
$node->safe_psql('postgres', "create or replace function admin_internal.links_kept() returns bigint language sql immutable parallel safe return $kept");

sub links { return $node->safe_psql('postgres', q{select count(*) from admin_internal.delivery_link}) }

# One row at a time, and one worker for each few of them.
my $most = 0;
foreach my $round (1 .. 12)
{
	foreach (1 .. 4)
	{
		$node->safe_psql('postgres', q{select admin.sensitive_check('APP-100001-abcd')});
		wait_delivered($node) or die 'a row is not delivered';
	}
	my $count = links();
	$most = $count if $count > $most;
	my $ended = end_worker($node);
	poll(sub { (status($node, 'pid') || $ended) != $ended }) or die 'no worker comes back';
}
is($most, $kept, 'workers that start again and again keep as many links as they are meant to, and no more');

# So it is where a server crashes in between.
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', q{select admin.sensitive_check('APP-100001-abcd') from generate_series(1, 60)});
ok(wait_delivered($node), 'rows are delivered after a crash');
is(links(), $kept, 'the table of links has not grown after a crash');
is($node->safe_psql('postgres', q{select max(link_number) - min(link_number) + 1 from admin_internal.delivery_link}), $kept, 'the newest links are those that stay');
is($node->safe_psql('postgres', q{select (l.last_number, l.chain) = (c.last_number, c.chain) from admin.delivery_chain('ndjson') as c, admin_internal.delivery_link as l
	order by l.link_number desc limit 1}), 't', 'the newest link has the number and chain that the position says');
$node->stop;
done_testing();
