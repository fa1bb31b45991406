# A position that cannot be recorded for a long time begins no file after file, and no name that is
# taken stops delivery; what a killed worker had reserved on the disk is given back.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "select admin.sensitive_check('APP-100001-abcd')";
my $root = PostgreSQL::Test::Utils::tempdir();
my $directory = "$root/files";
my $node = new_node('unrecorded', conf => "admin_ext.ndjson_directory = '$directory'\nadmin_ext.retry_backoff_max = '100ms'\n");
create_extension($node);

sub deliver
{
	$node->safe_psql('postgres', $check);
	wait_delivered($node) or die 'not delivered';
}

# The next batch begins a file.
sub fill_file
{
	$node->safe_psql('postgres', q{select admin_internal.append_event('filler', to_json(repeat('x', 2000)))});
	wait_delivered($node) or die 'not delivered';
}

sub files { return sort glob "$directory/postgres-*.ndjson"; }
sub next_id { return $node->safe_psql('postgres', 'select max(audit_id) + 1 from admin.audit'); }

# The room on the disk behind the end of a file.
sub reserved_bytes
{
	my ($size, $blocks) = (stat $_[0])[7, 12];
	return $blocks * 512 - $size;
}

# Bytes at an offset are what they were, or gone.
sub has_changed
{
	my ($before, $now) = @_;
	return index($now, $before) != 0 && index($before, $now) != 0;
}

sub holds_every_row_once
{
	my ($name) = @_;
	my @lines = ndjson_lines($directory);
	is(repeated(event_keys(@lines)), '', "$name: no row is in the files twice");
	is(scalar @lines, $node->safe_psql('postgres', 'select count(*) from admin.audit'), "$name: every row is there");
}

# A killed worker gives nothing back.
deliver();
my ($file) = files();
cmp_ok(reserved_bytes($file), '>', 500_000, 'a file that is written to has room behind its end');
$node->stop('immediate');
$node->start;
ok(wait_status($node, 'idle'), 'delivery goes on after a crash');
$node->stop;
cmp_ok(reserved_bytes($file), '<', 100_000, 'what a killed worker had reserved is given back');
$node->start;
deliver();

# Each attempt to record the position fails, and leaves a trace that outlives it.
$node->safe_psql('postgres', q{
	create sequence attempts;
	create function refuse() returns trigger language plpgsql as $$ begin perform nextval('public.attempts'); raise 'not now'; end $$;
	create trigger refuse before insert on admin.sink_position for each row execute function refuse()});
my $before = () = files();
$node->safe_psql('postgres', $check);
ok($node->poll_query_until('postgres', 'select last_value >= 8 from attempts'), 'the worker tries again and again');
$node->safe_psql('postgres', $check);
ok($node->poll_query_until('postgres', 'select last_value >= 16 from attempts'), 'the worker tries again and again with more rows');
cmp_ok((() = files()) - $before, '<=', 1, 'the worker begins one more file at most before it can record a position');
my %read = map { $_ => slurp_file($_) } files();
$node->safe_psql('postgres', 'drop trigger refuse on admin.sink_position');
ok(wait_delivered($node), 'delivery goes on by itself once the position can be recorded');
holds_every_row_once('after a position that could not be recorded');
is(join(' ', grep { has_changed($read{$_}, slurp_file($_)) } sort keys %read), '', 'no byte of the files is another one once the position can be recorded');

# A worker that ends before it has recorded, and is opened twice before it writes again, as after a reload.
my $locker = $node->background_psql('postgres', on_error_stop => 1);
configure($node, 'admin_ext.ndjson_rotate_size' => '1kB');
fill_file();
$locker->query_safe('begin; lock table admin.sink_position in share mode');
my $first = next_id();
$node->safe_psql('postgres', $check);
ok(poll(sub { grep { /"auditid":"$first"/ } ndjson_lines($directory) }), 'a file is begun, and its position is not recorded');
ok($node->poll_query_until('postgres', q{select last_error ~ 'sink_position' from admin.worker_status}), 'a lock is in the way');
ok(poll(sub { -e "$directory/postgres-$first.ndjson" && -s _ == 0 }), 'what was written is cut off');
$node->reload for 1 .. 2;
ok($node->poll_query_until('postgres', q{select state = 'backing_off' from admin.worker_status}), 'the sink is opened again');
$locker->query_safe('rollback');
ok(wait_delivered($node), 'the lock is given up: delivery goes on');
ok(-e "$directory/postgres-$first.ndjson" && -s _ == 0, 'a name that a follower knows is not used again');
holds_every_row_once('after the lock');
$locker->quit;

# Every name with leading zeros is taken.
fill_file();
$first = next_id();
append_to_file(sprintf('%s/postgres-%s%s.ndjson', $directory, '0' x $_, $first), '') for 0 .. 120;
deliver();
my @numbered = grep { /postgres-$first\.[0-9]+\.ndjson$/ && -s $_ } files();
is(scalar @numbered, 1, 'where many names are taken, a file gets a number behind the first audit_id');
holds_every_row_once('with all names taken');
$node->stop('immediate');
$node->start;
deliver();
holds_every_row_once('after a crash');
$node->stop;
done_testing();
