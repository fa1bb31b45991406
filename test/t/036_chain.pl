# Delivery numbers, the delivery chain and the file of seals: over restarts, resyncs, a new store,
# and what somebody else does to the files.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $directory = "$root/files";
my $node = new_node('chain', conf => <<"CONF");
admin_ext.ndjson_directory = '$directory'
admin_ext.ndjson_rotate_size = '1kB'
admin_ext.batch_rows = 2
admin_ext.retry_backoff_max = '300ms'
CONF
create_extension($node);
my $seals = "$directory/postgres.seals.ndjson";

sub deliver
{
	my ($count, $when) = @_;
	$node->safe_psql('postgres', "select admin.sensitive_check('APP-100001-abcd') from generate_series(1, $count)");
	ok(wait_delivered($node), "$count rows are delivered $when");
}

sub store { return $node->safe_psql('postgres', 'select admin.store_id()'); }

sub stopped
{
	my ($name, $pattern) = @_;
	$node->safe_psql('postgres', q{select admin.sensitive_check('APP-100001-abcd') from generate_series(1, 20)});
	ok($node->poll_query_until('postgres', "select state in ('stopped', 'backing_off') and last_error ~ '$pattern' from admin.worker_status"), $name)
	  or diag(status($node, 'last_error'));
}

deliver(30, 'at first');
compare_chain($node, 'files of a few batches', $directory);
is(sprintf('%04o', (stat $seals)[2] & 07777), '0600', 'the file of seals has the mode of the files');

# Restarts.
end_worker($node);
deliver(7, 'after a worker has ended');
$node->stop('immediate');
$node->start;
deliver(30, 'after a server has crashed');
compare_chain($node, 'after a worker and a server have ended', $directory);

# A file that is moved away while it is open has been hashed while it was written.
my ($open) = $node->safe_psql('postgres', q{select split_part(sink_detail, ' ', 4) from admin.sink_position where sink = 'ndjson' order by position_id desc limit 1});
rename "$directory/$open", "$root/$open" or die;
deliver(10, 'after the open file was moved away');
ok(poll(sub { grep { /"file":"\Q$open\E","bytes":\d+,"sha256":"[0-9a-f]{64}"/ } seal_lines($directory, store()) }), 'a file that was moved away has its line');
rename "$root/$open", "$directory/$open" or die;
compare_chain($node, 'a file moved away', $directory);

# Rows sent again have new numbers.
my $before = $node->safe_psql('postgres', q{select last_number from admin.delivery_chain('ndjson')});
$node->safe_psql('postgres', q{select admin.resync_sink('ndjson', 1)});
ok(wait_delivered($node), 'rows are sent again');
cmp_ok($node->safe_psql('postgres', q{select last_number from admin.delivery_chain('ndjson')}), '>=', 2 * $before, 'rows that are sent again have new delivery numbers');
compare_chain($node, 'a resync that keeps the store', $directory);

# What somebody else does to the file of seals.
my $saved = slurp_file($seals);
append_to_file($seals, "garbage\n");
stopped('a line of somebody else in the file of seals stops delivery', 'seals.ndjson" holds what was not written by this worker, from byte ' . length $saved);
truncate $seals, length $saved or die;
ok(wait_delivered($node), 'delivery goes on when the line of somebody else is gone');
compare_chain($node, 'after a line of somebody else', $directory);
$saved = slurp_file($seals);
foreach my $length (10, 0)
{
	truncate $seals, $length or die;
	stopped("a file of seals that was cut to $length bytes stops delivery", 'seals.ndjson" is shorter than what was written to it: its lines end with byte ' . length $saved);
	open my $handle, '+<', $seals or die;
	print $handle $saved;
	close $handle;
	ok(wait_delivered($node), "delivery goes on when the file of seals that was cut to $length bytes is restored");
	compare_chain($node, "after a cut to $length bytes", $directory);
	$saved = slurp_file($seals);
}
my $victim = "$root/victim";
append_to_file($victim, "untouched\n");
rename $seals, "$root/seals" or die;
symlink $victim, $seals or die;
stopped('a symbolic link in place of the file of seals stops delivery', 'seals.ndjson" is a symbolic link; move it away');
unlink $seals or die;
rename "$root/seals", $seals or die;
ok(wait_delivered($node), 'delivery goes on without the symbolic link');
is(slurp_file($victim), "untouched\n", 'nothing was written through the symbolic link');
compare_chain($node, 'after a link', $directory);

# While the links are locked a line cannot be made, however often it is tried: no file is left open.
sub open_seals
{
	my ($worker) = @_;
	return scalar grep { (readlink($_) // '') eq $seals } glob "/proc/$worker/fd/*";
}
$saved = slurp_file($seals);
truncate $seals, 0 or die;
stopped('a file of seals that was cut again stops delivery', 'seals.ndjson" is shorter');
my $locker = $node->background_psql('postgres', on_error_stop => 1);
$locker->query_safe('begin; lock table admin_internal.delivery_link in access exclusive mode');
append_to_file($seals, $saved);
my %attempts;
my $most = 0;
ok( poll(
		sub {
			my ($worker, $begun) = split /\|/, $node->safe_psql('postgres',
				q{select pid, xact_start from pg_stat_activity join admin.worker_status using (pid) where query = 'reading links of the delivery chain' and wait_event_type = 'Lock'});
			return 0 if !defined $begun;
			$attempts{$begun} = 1;
			my $count = open_seals($worker);
			$most = $count if $count > $most;
			return keys %attempts >= 4;
		}),
	'a line waits for the links, again and again');
cmp_ok($most, '<=', 1, 'the file of seals is open once at most while a line waits');
$locker->quit;
ok(wait_delivered($node), 'delivery goes on without the lock');
compare_chain($node, 'after a lock', $directory);

# Moved away as a whole, it is begun anew; also where no position has been recorded since.
rename $seals, "$root/seals" or die;
my $round = 0;
do { deliver(1, 'after the file of seals was moved away, round ' . ++$round) }
  until $node->safe_psql('postgres', q{select sink_detail ~ '[|].*[|]' from admin.sink_position where sink = 'ndjson' order by position_id desc limit 1}) eq 't';
ok(poll(sub { -s $seals }), 'a file of seals that was moved away is begun anew');
ok(!-e "$seals.new", 'no file of seals is left under a temporary name');
end_worker($node);
deliver(20, 'by another worker after the file of seals is begun anew');
cmp_ok(scalar(seal_lines($directory, store())), '>', 1, 'another worker goes on with a file of seals that was begun anew');

# A new store begins with number 1, and its first line names the old one.
my $old = store();
my ($last, $chain) = split /\|/, $node->safe_psql('postgres', q{select last_number, encode(chain, 'hex') from admin.delivery_chain('ndjson')});
$node->safe_psql('postgres', 'update admin.store set adopted_at = null');
ok($node->poll_query_until('postgres', q{select state = 'stopped' from admin.worker_status}), 'a copy that was loaded stops');
$node->safe_psql('postgres', q{select admin.resync_sink('ndjson', (select from_audit_id from admin.resync_proposal('ndjson')))});
deliver(30, 'by a new store');
isnt(store(), $old, 'the store has a new id');
compare_chain($node, 'a new store', $directory);
my ($first) = seal_lines($directory, store());
like($first, qr/"first":1,.*"continues":\{"store":"$old","last":$last,"chain":"$chain"\}\}\z/, 'the first line of a new store names what the database knew of the old one');
is(scalar(grep { /continues/ } seal_lines($directory, store())), 1, 'no other line of the new store names an old one');
$node->stop;
done_testing();
