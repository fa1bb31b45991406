# Whoever can write to the directory of the NDJSON sink must not decide which files the server writes
# to; and whoever follows the files can read them.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use Fcntl qw(:mode);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $check = "select admin.sensitive_check('APP-100001-abcd')";
my $root = PostgreSQL::Test::Utils::tempdir();
my $directory = "$root/files";
my $node = new_node('files', conf => "admin_ext.ndjson_directory = '$directory'\nadmin_ext.retry_backoff_max = '300ms'\n");
create_extension($node);

sub deliver
{
	my ($count) = @_;
	$node->safe_psql('postgres', $check) for 1 .. $count // 1;
	wait_delivered($node) or die 'not delivered';
}

sub mode_of { return sprintf '%04o', S_IMODE((stat $_[0])[2]); }

sub refused
{
	my ($name, $pattern) = @_;
	ok($node->poll_query_until('postgres', "select state = 'backing_off' and last_error ~ '$pattern' from admin.worker_status"), $name);
}

sub next_id { return $node->safe_psql('postgres', 'select max(audit_id) + 1 from admin.audit'); }

deliver(3);
my ($file) = glob "$directory/*-*.ndjson";
is(mode_of($directory) . ' ' . mode_of($file), '0700 0600', 'files are for the server alone');

# Modes.
is($node->safe_psql('postgres', 'show admin_ext.ndjson_file_mode'), '0600', 'the mode is shown in octal');
configure($node, 'admin_ext.ndjson_file_mode' => '0640');
ok(poll(sub { mode_of($file) eq '0640' }), 'the mode of the current file is changed by a reload');
configure($node, 'admin_ext.ndjson_directory' => "$root/shipped");
ok(poll(sub { -e "$root/shipped/postgres.lock" }), 'the sink goes to another directory after a reload');
deliver();
my ($shipped) = glob "$root/shipped/*-*.ndjson";
is(mode_of("$root/shipped") . ' ' . mode_of($shipped), '0750 0640', 'a directory that the sink makes has the rights that its files have');
is(mode_of((glob "$root/shipped/*.position")[0]), '0600', 'the position file beside shared files is for the server alone');
foreach my $wrong ('0666', '0660', '0400', '0755', '1600')
{
	my ($rc, undef, $error) = $node->psql('postgres', "alter system set admin_ext.ndjson_file_mode = '$wrong'");
	isnt($rc, 0, "mode $wrong is refused");
}
configure($node, 'admin_ext.ndjson_directory' => $directory);
deliver();

# A directory that others can write.
foreach my $mode (0770, 0707, 01777)
{
	chmod $mode, $directory or die "$directory: $!";
	end_worker($node);
	refused(sprintf('a directory of mode %o is refused', $mode), 'can be written by its group or by others.*chmod go-w');
	chmod 0750, $directory or die "$directory: $!";
	ok(wait_status($node, 'idle'), sprintf('a directory is used after its mode %o is taken back', $mode));
}

# Links where the next files would be.
my $victim = "$root/victim";
append_to_file($victim, "secret\n");
configure($node, 'admin_ext.ndjson_rotate_size' => '1kB');
deliver(6);
my $first = next_id();
symlink $victim, "$directory/postgres-$_.ndjson" or die for $first .. $first + 20;
deliver(10);
is(slurp_file($victim), "secret\n", 'a symbolic link in place of a new file is not followed');
my @ids = map { /"auditid":"(\d+)"/ } map { -l $_ ? () : split /\n/, slurp_file($_) } glob("$directory/*-*.ndjson $root/shipped/*-*.ndjson");
is(join(' ', sort { $a <=> $b } @ids), $node->safe_psql('postgres', q{select string_agg(audit_id::text, ' ' order by audit_id) from admin.audit}),
	'every row is in a file beside the symbolic links, once');
unlink grep { -l $_ } glob "$directory/*-*.ndjson";

# The current file is replaced while no worker has it open.
sub replaced
{
	my ($name, $pattern, $replace) = @_;
	configure($node, 'admin_ext.ndjson_rotate_size' => '1MB');
	deliver(2);
	my ($current) = split / /, $node->safe_psql('postgres', q{select split_part(sink_detail, ' ', 4) from admin.sink_position order by position_id desc limit 1});
	$node->stop;
	rename "$directory/$current", "$root/kept" or die "$current: $!";
	$replace->("$directory/$current");
	$node->start;
	$node->safe_psql('postgres', $check);
	refused("$name in place of the current file is refused", $pattern);
	is(slurp_file($victim), "secret\n", "$name: what it leads to is not touched");
	unlink "$directory/$current";
	rename "$root/kept", "$directory/$current" or die "$current: $!";
	ok(wait_delivered($node), "$name: delivered when the file is back");
}

replaced('a symbolic link', 'is a symbolic link', sub { symlink $victim, $_[0] or die });
replaced('a hard link', 'has more than one link', sub { link $victim, $_[0] or die });
replaced('a pipe', 'is not a regular file', sub { system('mkfifo', $_[0]) == 0 or die });

# The marker names a file that is cut to a length.  Its fields: position, tick, nonce, audit_id, where the store's
# part of the file begins, delivery number, chain, file.
sub damaged_marker
{
	my ($what, %wrong) = @_;
	deliver();
	$node->stop;
	my ($marker) = glob "$directory/*.position";
	my $kept = slurp_file($marker);
	my %fields;
	my @names = qw(position tick nonce audit_id from number chain file);
	@fields{@names} = split ' ', $kept;
	%fields = (%fields, position => $fields{position} + 1, from => 3, %wrong);
	open my $handle, '+<', $marker or die "$marker: $!";
	printf $handle '%-511s', join(' ', @fields{@names});
	close $handle;
	$node->start;
	ok($node->poll_query_until('postgres', q{select state = 'stopped' and last_error ~ 'is damaged' from admin.worker_status}), "a marker $what: stopped");
	is(slurp_file($victim), "secret\n", "a marker $what: nothing is cut");
	$node->stop;
	open $handle, '+<', $marker or die "$marker: $!";
	print $handle $kept;
	close $handle;
	$node->start;
	ok(wait_status($node, 'idle'), "a marker $what: the worker is idle when the marker is back");
}

damaged_marker("that names $_", file => $_) foreach '../victim', '../victim-1.ndjson', '/etc/passwd', 'postgres.lock', 'x-1.ndjson.', '-1.ndjson';
damaged_marker('without a file', file => '');
damaged_marker("with the delivery number $_", number => $_) foreach '0', '-1', 'x';
damaged_marker("whose chain $$_[0]", chain => $$_[1]) foreach ['is too short', 'ab'], ['has other letters', 'z' x 64], ['is missing', ''];

# An old copy, twice over, in place of the file: it is longer than what was delivered.
$node->safe_psql('postgres', q{select admin.resync_sink('ndjson', (select max(audit_id) + 1 from admin.audit))});
deliver(2);
my ($current) = split / /, $node->safe_psql('postgres', q{select split_part(sink_detail, ' ', 4) from admin.sink_position order by position_id desc limit 1});
my $old = slurp_file("$directory/$current");
deliver(3);
my $now = slurp_file("$directory/$current");
$node->stop;
unlink "$directory/$current";
append_to_file("$directory/$current", $old x 20);
my $forged = slurp_file("$directory/$current");
cmp_ok(length $forged, '>', length $now, 'a forged file is longer');
$node->start;
$node->safe_psql('postgres', $check);
ok($node->poll_query_until('postgres', q{select state = 'stopped' and last_error ~ 'is not what was delivered to it' from admin.worker_status}), 'an old copy in place of the file: stopped');
is(slurp_file("$directory/$current"), $forged, 'an old copy in place of the file is not cut, and nothing is written to it');
$node->stop;
unlink "$directory/$current";
append_to_file("$directory/$current", $now);
$node->start;
ok(wait_delivered($node), 'the file is back: delivered');

# The directory itself is moved away under the worker.
rename $directory, "$root/elsewhere" or die "$directory: $!";
my %before = map { $_ => -s $_ } glob "$root/elsewhere/*-*.ndjson";
deliver();
is(join(' ', grep { -s $_ != $before{$_} } sort keys %before), '', 'a directory that was moved away is not written to');
cmp_ok(scalar(() = glob "$directory/*-*.ndjson"), '==', 1, 'a new directory has a file after the old one was moved away');

# A power loss may leave an older marker than the batch that was written last.
my ($marker) = glob "$directory/*.position";
my $older = slurp_file($marker);
deliver();
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe('begin; lock table admin.sink_position in share mode');
my $last = next_id();
$node->safe_psql('postgres', $check);
ok(poll(sub { grep { /"auditid":"$last"/ } ndjson_lines($directory) }), 'a batch is written, and its position is not recorded');
$node->stop('immediate');
eval { $session->quit };
open my $handle, '>', $marker or die "$marker: $!";
print $handle $older;
close $handle;
$node->start;
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'delivery goes on after a power loss that left an older marker');
is(repeated(event_keys(ndjson_lines($directory))), '', 'no row is in the files twice after a power loss that left an older marker');
$node->stop;
done_testing();
