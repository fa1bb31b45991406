# A sink that holds rows that the database has lost: admin_ext.on_divergence = fork goes on as
# another store, with an event that says what was lost.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $files = PostgreSQL::Test::Utils::tempdir() . '/files';
my $check = "select admin.sensitive_check('APP-100001-abcd')";
my $primary = new_node('primary', init => { allows_streaming => 1 }, conf => "admin_ext.ndjson_directory = '$files'");
create_extension($primary);
# A sink that is not listed has a position, too.
$primary->safe_psql('postgres', q{insert into admin.sink_position (sink, position_id, store_id, tick_id)
	select 'unlisted', 1, s.store_id, 0 from admin.store as s});

# An asynchronous standby that has got no further than the backup, promoted.
sub promoted
{
	my ($node, $backup, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$node->stop('immediate');
	$standby->init_from_backup($node, $backup, has_streaming => 1);
	$standby->start;
	$standby->promote;
	return $standby;
}

# Rows of the database that the files do not hold under any store, and ids that are there twice.
sub missing
{
	my ($node) = @_;
	my %held = map { /"auditid":"(\d+)"/ ? ($1 => 1) : () } ndjson_lines($files);
	return join ' ', grep { !$held{$_} } split /\n/, $node->safe_psql('postgres', 'select audit_id from admin.audit');
}

sub event
{
	my ($node, $key) = @_;
	return $node->safe_psql('postgres', "select payload ->> '$key' from admin.audit
		where event_type = 'sink.diverged' order by audit_id desc limit 1");
}

$primary->safe_psql('postgres', $check) for 1 .. 3;
ok(wait_delivered($primary), 'rows are delivered before the backup');
$primary->backup('old');
my $old = $primary->safe_psql('postgres', 'select admin.store_id()');
my $kept = $primary->safe_psql('postgres', 'select max(audit_id) from admin.audit');
$primary->safe_psql('postgres', $check) for 1 .. 4;
ok(wait_delivered($primary), 'rows are delivered after the backup');
my $sent = $primary->safe_psql('postgres', 'select max(audit_id) from admin.audit');

# Started without a promotion it may stand beside the server that goes on.
my $clone = PostgreSQL::Test::Cluster->new('clone');
$primary->stop;
$clone->init_from_backup($primary, 'old');
$clone->append_conf('postgresql.conf', "admin_ext.on_divergence = 'fork'");
$clone->start;
ok(wait_status($clone, 'stopped'), 'a copy that was not promoted is left to an operator');
is($clone->safe_psql('postgres', 'select admin.store_id()'), $old, 'a copy that was not promoted is the same store');
$clone->stop;
$primary->start;

my $copy = promoted($primary, 'old', 'copy');
$copy->safe_psql('postgres', $check) for 1 .. 2;
ok(wait_status($copy, 'stopped'), 'by default a database that lost rows stops');
configure($copy, 'admin_ext.on_divergence' => 'fork');
ok(wait_delivered($copy), 'a database that lost rows goes on when it is told to fork');
my $new = $copy->safe_psql('postgres', 'select admin.store_id()');
isnt($new, $old, 'a database that forks is another store');
is(event($copy, 'old_store_id') . ' ' . event($copy, 'new_store_id'), "$old $new", 'sink.diverged names the old and the new store');
is(event($copy, 'sink') . ' ' . event($copy, 'lost_from') . ' ' . event($copy, 'lost_to'), 'ndjson ' . ($kept + 1) . " $sent",
	'sink.diverged names the sink, and the rows that were lost');
is(event($copy, 'from'), $kept + 1, 'delivery goes on at the first row that the sink lacks');
is(missing($copy), '', 'no row is missing in the files after the fork');
is(repeated(event_keys(ndjson_lines($files))), '', 'source and id are unique after the fork');
cmp_ok($copy->safe_psql('postgres', "select min(audit_id) from admin.audit where event_type = 'sink.diverged'"), '>', $sent,
	'numbers go on above what was sent');
is($copy->safe_psql('postgres', q{select count(*) from admin.sink_position as p, admin.store as s
	where p.sink = 'unlisted' and p.store_id = s.store_id}), 1, 'a sink that is not listed goes on with the new store');
is(log_count($copy, qr/WARNING:  .*has lost rows that sink "ndjson" holds: some of audit_id \d+ to $sent/), 1, 'the log has one warning of the rows that were lost');
$copy->safe_psql('postgres', $check);
ok(wait_delivered($copy), 'delivery goes on after the fork');
$copy->restart;
$copy->safe_psql('postgres', $check);
ok(wait_delivered($copy), 'delivery goes on after a restart of the fork');
is($copy->safe_psql('postgres', 'select admin.store_id()'), $new, 'a restart of the fork does not change its store');
is(event($copy, 'lost_to'), $sent, 'the newest sink.diverged after a restart is still that of the fork');

# Once more, the setting in place from the start.
$copy->backup('again');
$copy->safe_psql('postgres', $check) for 1 .. 3;
ok(wait_delivered($copy), 'rows are delivered before the second fork');
my $second = promoted($copy, 'again', 'second');
ok($second->poll_query_until('postgres', "select admin.store_id() <> '$new'"), 'a second fork needs nobody');
ok(wait_delivered($second), 'delivery goes on after the second fork');
is(missing($second), '', 'no row is missing in the files after the second fork');
is(repeated(event_keys(ndjson_lines($files))), '', 'source and id are unique after the second fork');

done_testing();
