# A sink of somebody else, built against the installed header alone (recorder.c): delivery numbers
# and chain reach it, and what it keeps of them proves that nothing is missing.
use strict;
use warnings;
use Digest::SHA qw(sha256);
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('other', conf => "admin_ext.sinks = 'recorder'\nadmin_ext.batch_rows = 7\n");
create_extension($node);
my $recorded = $node->data_dir . '/recorder';

sub deliver
{
	my ($count, $when) = @_;
	$node->safe_psql('postgres', "select count(admin.sensitive_check('APP-100001-abcd')) from generate_series(1, $count)");
	ok($node->poll_query_until('postgres', q{select state = 'idle' and lag_rows = 0 and last_audit_id = (select max(audit_id) from admin.audit)
		from admin.worker_status where sink = 'recorder'}), "$count rows are delivered $when");
}

# What the sink has kept holds together, and ends where the database says.
sub compare_recorded
{
	my ($name) = @_;
	my ($store, $last, $chain) = split /\|/, $node->safe_psql('postgres', q{select store_id, last_number, encode(chain, 'hex') from admin.delivery_chain('recorder')});
	my ($number, $computed, $batches, @wrong) = (0, sha256("admin_ext delivery chain 1${store}recorder"), 0);
	my @lines = split /\n/, slurp_file($recorded);
	while (defined(my $line = shift @lines))
	{
		my ($kind, $of, @fields) = split / /, $line;
		my $hex = unpack('H*', $computed);
		push @wrong, "store $of" if $of ne $store;
		if ($kind eq 'recover')
		{
			push @wrong, "recover from $fields[0]" if $fields[0] != $number || ($number > 0 && $fields[1] ne $hex);
			next;
		}
		my ($first, $end, $count, $before, $after) = @fields;
		push @wrong, "batch from $first" if $kind ne 'batch' || $first != $number + 1 || $end != $number + $count || $before ne $hex;
		my $content = sha256(join '', map { "$_\n" } splice @lines, 0, $count);
		$computed = sha256($computed . pack('Q>Q>', $first, $count) . $content);
		push @wrong, "batch from $first: chain" if $after ne unpack('H*', $computed);
		$number = $end;
		$batches++;
	}
	push @wrong, "ends with $number" if $number != $last || $chain ne unpack('H*', $computed);
	is(join(', ', @wrong), '', "$name: $number documents in $batches batches, and one chain");
	return $batches;
}

deliver(1, 'at first');
cmp_ok(compare_recorded('at first'), '>', 0, 'the sink has recorded a batch');
deliver(100, 'in more than a batch');
cmp_ok(compare_recorded('more than a batch'), '>', 10, 'the sink has recorded more than ten batches');
end_worker($node);
deliver(20, 'after a worker has ended');
compare_recorded('a worker has ended');
$node->restart;
deliver(20, 'after a server has ended');
compare_recorded('a server has ended');
cmp_ok(scalar(grep { /^recover / } split /\n/, slurp_file($recorded)), '>', 2, 'the sink was told where it stands each time that a worker began');

# A setting of its own: a reload is enough, and the file before stays as it is.
my $recorded_before = slurp_file($recorded);
configure($node, 'admin_ext_recorder.file' => 'elsewhere');
ok($node->poll_query_until('postgres', q{select (pg_stat_file('elsewhere', true)).size > 0}), 'the sink reads its own setting again after a reload');
deliver(3, 'to another file');
is(slurp_file($recorded), $recorded_before, 'the sink leaves the file before as it is when its setting names another one');
like(slurp_file($node->data_dir . '/elsewhere'), qr/^recover \S+ [1-9]\d* \S+\nbatch /, 'the sink goes on from the number before in another file');
# The library that defines the setting is loaded when the database's settings have been applied.
$node->safe_psql('postgres', q{alter database postgres set admin_ext_recorder.file = 'masked'});
end_worker($node);
deliver(3, 'with a setting of the database');
ok(!-e $node->data_dir . '/masked', "a setting that the database carries has no say in a stranger's sink");
is(slurp_file($recorded), $recorded_before, 'a setting that the database carries does not hide that of the configuration file');
append_to_file($recorded, slurp_file($node->data_dir . '/elsewhere'));
my $recorded_bytes = -s $recorded;
configure($node, 'admin_ext_recorder.file' => 'recorder');
ok($node->poll_query_until('postgres', "select size > $recorded_bytes from pg_stat_file('recorder')"), 'the sink goes back to its first file after another reload');

# Larger than what the worker hashes by itself, and in buffers that grow meanwhile.
configure($node, 'admin_ext.batch_rows' => 5000);
$node->safe_psql('postgres', q{select count(admin_internal.append_event('load', json_build_object('text', repeat('x', n % 3000)))) from generate_series(1, 12000) as n});
deliver(1, 'after large batches');
compare_recorded('large batches');
$node->stop;
done_testing();
