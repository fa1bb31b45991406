# Where a sink delivers has a part for the database and for the store: %d and %s in directory, topic, channel and stream.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir;
my $node = new_node('places', conf => "admin_ext.ndjson_directory = '$root/%d.%s.100%%'\n");
my $check = "select admin.sensitive_check('APP-000001-a')";
my @odd = ('two', '../up', '..', 'x/y %s');

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

# What the files of a place hold, as the sources of its lines, each once.
sub sources
{
	my ($place, $database) = @_;
	my %found = map { /"source":"([^"]+)"/ ? ($1 => 1) : () } ndjson_lines($place, $database);
	return join ' ', sort keys %found;
}

sub place
{
	my ($name, $database) = @_;
	return "$root/$name." . sql('select store_id from admin.store', $database) . '.100%';
}

# A pattern that is wrong is refused, and the one before stays.
my %refused = (
	'ndjson_directory = \'x%\'' => qr/After a percent sign comes d/,
	'ndjson_directory = \'x/%D\'' => qr/After a percent sign comes d/,
	'ndjson_directory = \'' . '%d' x 10 . '\'' => qr/A directory of 1 to \d+ bytes/,
	'kafka_topic = \'trail.%x\'' => qr/After a percent sign comes d/,
	'kafka_topic = \'100%%\'' => qr/A topic's name is 1 to 249/,
	'kafka_topic = \'a b\'' => qr/A topic's name is 1 to 249/,
	'kafka_topic = \'' . '%s' x 7 . '\'' => qr/A topic's name is 1 to 249/,
	'redis_channel = \'100% of it\'' => qr/After a percent sign comes d/,
	'redis_stream = \'%\'' => qr/After a percent sign comes d/);
foreach my $setting (sort keys %refused)
{
	my ($rc, undef, $error) = $node->psql('postgres', "alter system set admin_ext.$setting");
	ok($rc != 0 && $error =~ $refused{$setting}, "$setting is refused, with the reason");
}
foreach my $setting ('ndjson_directory = \'%d/%s/%%\'', 'kafka_topic = \'%d.%s\'', 'redis_channel = \'%d %s %%\'', 'redis_stream = \'%d\'')
{
	my ($rc) = $node->psql('postgres', "alter system set admin_ext.$setting");
	is($rc, 0, "$setting is taken");
}
$node->safe_psql('postgres', 'alter system reset all');

# Each database has a place of its own, whatever its name is.
create_extension($node);
foreach my $database (@odd)
{
	sql("create database \"$database\"");
	create_extension($node, $database);
}
configure($node, 'admin_ext.databases' => join ', ', map { "\"$_\"" } 'postgres', @odd);
my %name = ('postgres' => 'postgres', 'two' => 'two', '../up' => '%2E.%2Fup', '..' => '%2E.', 'x/y %s' => 'x%2Fy%20%25s');
foreach my $database ('postgres', @odd)
{
	sql($check, $database);
	ok(wait_delivered($node, $database), "database \"$database\" is delivered");
	my $place = place($name{$database}, $database);
	(my $file = $name{$database}) =~ s/%2E/./;
	is(sql("select place from admin.sink_places() where database = current_database()", $database), "directory \"$place\"", "the place of database \"$database\" is shown");
	is(sources($place, $file =~ s/([\\*?\[\]{} ])/\\$1/gr), '/admin_ext/' . sql('select store_id from admin.store', $database), "the place of database \"$database\" holds its rows alone");
}
opendir(my $handle, $root) or die "$root: $!";
is(join(' ', sort grep { !/^\.\.?\z/ } readdir $handle), join(' ', sort map { place($name{$_}, $_) =~ s!.*/!!r } 'postgres', @odd), 'no database leaves the directory');
closedir $handle;

# A new store id is another place.
my $before = place('two', 'two');
sql('update admin.store set adopted_at = null', 'two');
ok($node->poll_query_until('two', q{select state = 'stopped' from admin.worker_status where database = 'two'}), 'a loaded copy is stopped');
sql(q{select admin.resync_sink('ndjson', (select max(audit_id) + 1 from admin.audit))}, 'two');
sql($check, 'two');
ok($node->poll_query_until('two', q{select not exists (select from admin.audit_delivery where sink_status = 'pending')}), 'a loaded copy is delivered after a resync');
isnt(place('two', 'two'), $before, 'the store has a new id');
like(sources(place('two', 'two'), 'two'), qr{^/admin_ext/\S+\z}, 'rows of the new store go to a place of their own');
$node->stop;
done_testing();
