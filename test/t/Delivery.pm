# Delivery.pm: what the TAP tests of delivery share.
#
# The ledger is the table itself: after a test every committed row of admin.audit has to
# be in the NDJSON files exactly once, unchanged, in order of commit per approval.
package Delivery;

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use Time::HiRes qw(time stat);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha256 sha256_hex);

our @EXPORT = qw(new_node create_extension create_cutover wait_delivered wait_settled compare_ledger compare_chain seal_lines ndjson_lines status wait_status wait_up poll
  configure write_by_hand log_count event_keys repeated end_worker page_commands run_commands);

# A node that preloads the library and delivers database postgres.
sub new_node
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%{ $options{init} // {} });
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'admin_ext'
admin_ext.databases = 'postgres'
admin_ext.retry_backoff_max = '1s'
max_prepared_transactions = 10
max_worker_processes = 20
timezone = 'UTC'
restart_after_crash = on
log_statement = none
log_min_messages = warning
log_min_error_statement = panic
fsync = on
CONF
	$node->append_conf('postgresql.conf', $options{conf}) if $options{conf};
	$node->start;
	return $node;
}

sub create_extension
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres',
		'set client_min_messages = error; create extension admin_ext; select admin.create_audit_partitions()');
}

# What is needed only while moving from the file-backed store.
sub create_cutover
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres', 'create extension admin_ext_cutover');
}

# Changes settings of a running node; the worker reads them when it gets to it.
sub configure
{
	my ($node, %settings) = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") for sort keys %settings;
	$node->reload;
}

# Rows of the trail that the extension itself would not write, as a superuser who lifts its guard does.
sub write_by_hand
{
	my ($node, $insert, $database) = @_;
	$node->safe_psql($database // 'postgres', "begin; alter table admin.audit disable trigger audit_append_only;
		$insert; alter table admin.audit enable always trigger audit_append_only; commit");
}

# How many lines of the server's log match.
sub log_count
{
	my ($node, $pattern) = @_;
	return scalar(grep { /$pattern/ } split /\n/, slurp_file($node->logfile));
}

# The server answers again.  Not by psql(), which writes to a client that may have given up already.
sub wait_up
{
	my ($node) = @_;
	return poll(sub { run_log([ 'pg_isready', '-q', '-h', $node->host, '-p', $node->port ]) });
}

# Polls for a condition of ours, with a deadline.
sub poll
{
	my ($condition, $seconds) = @_;
	my $deadline = time() + ($seconds // 60);
	while (1)
	{
		return 1 if $condition->();
		return 0 if time() > $deadline;
		select undef, undef, undef, 0.05;
	}
}

sub wait_delivered
{
	my ($node, $database) = @_;
	$database //= 'postgres';
	return $node->poll_query_until($database,
		"select not exists (select from admin.audit_delivery where sink_status <> 'delivered')");
}

# No row waits any more: each is delivered, was skipped, or is a dead letter.
sub wait_settled
{
	my ($node, $database) = @_;
	return $node->poll_query_until($database // 'postgres',
		"select not exists (select from admin.audit_delivery where sink_status = 'pending')");
}

sub status
{
	my ($node, $column, $database) = @_;
	return $node->safe_psql($database // 'postgres', "select $column from admin.worker_status");
}

sub wait_status
{
	my ($node, $state) = @_;
	return $node->poll_query_until('postgres',
		"select state = '$state' from admin.worker_status where database = 'postgres'");
}

# Ends the one worker that runs; the launcher starts another one.  Returns which it was.
sub end_worker
{
	my ($node) = @_;
	my $pid;
	poll(sub { $pid = status($node, 'pid') }) or die 'no worker runs';
	kill 'TERM', $pid;
	return $pid;
}

# All documents, file after file as they were written.
sub ndjson_lines
{
	my ($directory, $database) = @_;
	my @lines;
	$database //= 'postgres';
	# Order of writing: a file's name is its first audit_id, which a late row makes lower
	# than that of the file before.
	my @files = sort { (stat $a)[9] <=> (stat $b)[9] } glob("$directory/$database-*.ndjson");
	foreach my $file (@files)
	{
		open my $handle, '<:raw', $file or die "$file: $!";
		while (my $line = <$handle>)
		{
			die "half a line in $file" unless $line =~ s/\n\z//;
			push @lines, $line;
		}
		close $handle;
	}
	return @lines;
}

# What tells events apart for ever: "<source> <id>" of each line, which has to be a whole one.
sub event_keys
{
	return map { /^\{.*"id":"([^"]+)","source":"([^"]+)".*\}\z/s ? "$2 $1" : die "malformed line: $_" } @_;
}

# Which of a list are in it more than once.
sub repeated
{
	my %count;
	$count{$_}++ for @_;
	return join ' ', grep { $count{$_} > 1 } sort keys %count;
}

# 0 lost, 0 duplicated, 0 altered, 0 out of order.
sub compare_ledger
{
	my ($node, $name, $directory) = @_;
	$directory //= $node->data_dir . '/admin_ext';
	my %expected = map { split /\t/, $_, 2 } split /\n/,
	  $node->safe_psql('postgres', q{select audit_id || E'\t' || md5(payload::text) from admin.audit});
	my (%seen, %last, $duplicated, $foreign, $altered, $reordered);
	$duplicated = $foreign = $altered = $reordered = 0;
	foreach my $line (ndjson_lines($directory))
	{
		my ($type, $subject, $id, $data) =
		  $line =~ /"type":"([^"]*)"(?:,"subject":"([^"]*)")?.*?,"auditid":"(\d+)","data":(.*)\}\z/s
		  or die "malformed line: $line";
		$duplicated++ if $seen{$id}++;
		if (!defined $expected{$id}) { $foreign++; next; }
		$altered++ if md5_hex($data) ne $expected{$id};
		next if !defined $subject || $type =~ /sensitive\.check/;
		$reordered++ if ($last{$subject} // 0) >= $id;
		$last{$subject} = $id;
	}
	my $lost = grep { !$seen{$_} } keys %expected;
	is("lost $lost, duplicated $duplicated, foreign $foreign, altered $altered, reordered $reordered",
		'lost 0, duplicated 0, foreign 0, altered 0, reordered 0',
		"$name: " . scalar(keys %expected) . ' rows');
}

# The lines of a store in the file of seals.
sub seal_lines
{
	my ($directory, $store, $database) = @_;
	my $file = "$directory/" . ($database // 'postgres') . '.seals.ndjson';
	my @lines = -e $file ? split /\n/, slurp_file($file) : ();
	return grep { /^\{"v":1,"store":"$store","sink":"ndjson",/ } @lines;
}

# The chain after more batches, from the documents and how many each batch has.
sub extend_chain
{
	my ($chain, $number, $documents, @counts) = @_;
	foreach my $count (@counts)
	{
		my $content = sha256(join '', map { "$_\n" } splice @$documents, 0, $count);
		$chain = sha256($chain . pack('Q>Q>', $number, $count) . $content);
		$number += $count;
	}
	return $chain;
}

# Numbers without a gap, a line for each finished file that fits it, and one chain through all of them.
sub compare_chain
{
	my ($node, $name, $directory) = @_;
	$directory //= $node->data_dir . '/admin_ext';
	my ($store, $last, $chain) = split /\|/, $node->safe_psql('postgres', q{select store_id, last_number, encode(chain, 'hex') from admin.delivery_chain('ndjson')});
	my ($newest) = $node->safe_psql('postgres', q{select split_part(sink_detail, ' ', 4) from admin.sink_position where sink = 'ndjson' order by position_id desc limit 1});
	my ($number, @lines, @documents, @wrong) = (0);
	my $computed = sha256("admin_ext delivery chain 1${store}ndjson");
	poll(sub
	{
		@lines = seal_lines($directory, $store);
		@documents = split /\n/, slurp_file("$directory/$newest");
		my ($sealed) = ($lines[-1] // '') =~ /"last":(\d+),"chain_before"/;
		return ($sealed // 0) + @documents == $last;
	}) or push @wrong, 'lines of files are missing';
	foreach my $line (@lines)
	{
		my ($file, $bytes, $hash, $first, $end, $before, $after, $counts) = $line =~
		  /"file":"([^"]+)","bytes":(\d+),"sha256":"(\w+)","first":(\d+),"last":(\d+),"chain_before":"(\w+)","chain_after":"(\w+)","batches":\[([\d,]+)\]/
		  or push(@wrong, "malformed line: $line"), next;
		my $content = slurp_file("$directory/$file");
		push @wrong, "$file: bytes" if length($content) != $bytes || sha256_hex($content) ne $hash;
		push @wrong, "$file: numbers" if $first != $number + 1;
		push @wrong, "$file: chain before" if unpack('H*', $computed) ne $before;
		$computed = extend_chain($computed, $first, [ split /\n/, $content ], split /,/, $counts);
		push @wrong, "$file: chain after" if unpack('H*', $computed) ne $after;
		$number = $end;
	}
	my @counts = split /\n/, $node->safe_psql('postgres', qq{select last_number - first_number + 1 from admin_internal.delivery_link
		where store_id = '$store' and sink = 'ndjson' and first_number > $number order by last_number});
	$computed = extend_chain($computed, $number + 1, \@documents, @counts);
	push @wrong, 'the chain of the newest file' if unpack('H*', $computed) ne $chain;
	is(join(', ', @wrong), '', "$name: numbers, seals of " . scalar(@lines) . " files and chain up to number $last");
}

# The pages lie beside the folder of the tests; tests may change the directory.
my $pages = dirname(dirname(abs_path(__FILE__))) . '/doc';

# The shell commands of a page under one heading, block by block.
sub page_commands
{
	my ($page, $heading) = @_;
	my $text = slurp_file("$pages/$page");
	my ($section) = $text =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms or die "$page has no heading \"$heading\"";
	return $section =~ /^```sh\n(.*?)^```/msg;
}

# Runs them as they stand, with variables that they use; returns what they print.
sub run_commands
{
	my ($node, $commands, %variables) = @_;
	my $assignments = join '', map { "$_='$variables{$_}'\n" } sort keys %variables;
	my ($stdout, $stderr);
	local %ENV = $node->_get_env();
	my $succeeded = IPC::Run::run([ 'bash', '-euc', $assignments . $commands ], '>', \$stdout, '2>', \$stderr);
	ok($succeeded, 'the page: ' . (split /\n/, $commands)[0]) or diag($stderr);
	return $stdout;
}

1;
