# No number of the trail comes twice or goes back, whichever session moves the sequence, after a restart too.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('numbers');
create_extension($node);
create_cutover($node);
my $check = q{select (admin.sensitive_check('APP-000001-a') -> 'audit' ->> 'audit_id')::bigint};
my $back = q{begin; select setval('admin.audit_audit_id_seq', 1); rollback};
my $events = q{select count(*) from admin.audit where event_type = 'guard.changed' and payload ->> 'command' = 'setval'};

# A session that has drawn few numbers, and others that have drawn many.
my $early = $node->background_psql('postgres');
my $first = $early->query_safe($check);
my $last = $node->safe_psql('postgres', "$check from generate_series(1, 50) offset 49");
cmp_ok($last, '>=', $first + 50, 'other sessions have drawn numbers');
$node->safe_psql('postgres', $back);
my $next = $early->query_safe($check);
cmp_ok($next, '>', $last, 'a session that knew lower numbers only draws a higher one after setval()');
is($node->safe_psql('postgres', $events), 1, 'the trail says that the sequence was moved');
is(log_count($node, qr/sequence "audit_audit_id_seq" was at \d+ and goes on above \d+/), 1, 'the log says that the sequence was moved');
# The transaction that has moved it draws a number, is rolled back, and its session ends.
$node->safe_psql('postgres', "begin; select setval('admin.audit_audit_id_seq', 1); $check; rollback");
$early->query_safe($check);
is($node->safe_psql('postgres', $events), 2, 'the session that draws next writes the event of one that has ended');
$early->query_safe($check);
is($node->safe_psql('postgres', $events), 2, 'the event of a session that has ended is written once');

# A transaction that can write no event waits for none that writes.
my $writer = $node->background_psql('postgres');
$writer->query_safe('create table written (n int); begin isolation level serializable; insert into written values (1)');
is($node->safe_psql('postgres', q{begin; select setval('admin.signature_signature_id_seq', 1, false); rollback; set statement_timeout = '10s';
	begin isolation level serializable read only deferrable; commit; select 'done'}), "1\ndone", 'a deferrable transaction waits for no writer after a setval() that was rolled back');
$writer->query_safe('rollback');
$writer->quit;
$early->quit;

# Rows of another month have the low numbers: the index of this month has none of them.
$node->safe_psql('postgres', q{set admin_ext.restoring = on;
	insert into admin.audit (audit_id, recorded_at, event_type, payload) overriding system value
	select n, now() + interval '1 month', 'test', '{}' from generate_series(500000, 500010) as n});
$node->safe_psql('postgres', q{begin; select setval('admin.audit_audit_id_seq', 499999); rollback});
$last = $node->safe_psql('postgres', $check);
cmp_ok($last, '>', 500010, 'a number that a row of another month has is not drawn again');

# After a restart what was drawn is what the trail holds.
$node->safe_psql('postgres', $back);
$node->restart;
$next = $node->safe_psql('postgres', $check);
cmp_ok($next, '>', $last, 'numbers go on after a restart');

# Months that were dropped have had their numbers, too.
$node->safe_psql('postgres', 'update admin.audit_dropped set below = 700000');
$node->safe_psql('postgres', $back);
$node->restart;
cmp_ok($node->safe_psql('postgres', $check), '>=', 700000, 'a number of a month that was dropped is not drawn again');
$node->safe_psql('postgres', 'update admin.audit_dropped set below = 0');

# Many sessions at once, while the sequence is moved again and again.
my @sessions = map { $node->background_psql('postgres') } 1 .. 4;
$_->query_until(qr/begun/, "\\echo begun\n$check from generate_series(1, 300);\n\\echo done\n") for @sessions;
$node->safe_psql('postgres', $back) for 1 .. 20;
$_->quit for @sessions;
like($node->safe_psql('postgres', q{select * from admin_internal.number_problems()}), qr/was never drawn: the last number is \d/, 'readiness names a sequence that is behind');
$node->safe_psql('postgres', $check);
is($node->safe_psql('postgres', q{select count(*) - count(distinct audit_id) from admin.audit}), 0, 'no number is there twice after many sessions have drawn at once');
is($node->safe_psql('postgres', q{select count(*) from admin.audit where event_type = 'sensitive.check.2b'}), 1 + 50 + 3 + 1 + 1 + 1 + 4 * 300 + 1, 'no check has failed');
is($node->safe_psql('postgres', q{select * from admin_internal.number_problems()}), '', 'readiness finds nothing wrong with the numbers');
$node->stop;

# The first check after a restart waits for no month that somebody has locked.  No worker draws a number before it.
my $idle = new_node('locked', conf => "admin_ext.databases = ''\n");
create_extension($idle);
create_cutover($idle);
# The numbers of this month are the highest.
my $other = $idle->safe_psql('postgres', q{select partition from admin.audit_partitions() where lower_bound > now() order by lower_bound limit 1});
$idle->safe_psql('postgres', q{set admin_ext.restoring = on;
	insert into admin.audit (audit_id, recorded_at, event_type, payload) overriding system value
	select n, now() + interval '1 month', 'test', '{}' from generate_series(500000, 500010) as n});
$idle->safe_psql('postgres', $check);

# What the first check after a restart draws while a session holds a lock: statement_timeout ends it where it waits.
sub draw_while
{
	my ($lock) = @_;
	$idle->restart;
	my $holder = $idle->background_psql('postgres');
	$holder->query_safe('begin');
	$holder->query_safe($lock);
	my ($rc, $number, $error) = $idle->psql('postgres', "set statement_timeout = '5s'; $check");
	is($rc, 0, "the first check after a restart answers while another session has run $lock") or diag($error);
	$holder->query_safe('rollback');
	$holder->quit;
	return $number;
}

$idle->safe_psql('postgres', q{set admin_ext.restoring = on; update admin.audit_dropped set below = 0});
$last = $idle->safe_psql('postgres', q{select last_value from admin.audit_audit_id_seq});
$idle->restart;
my $drawn = $idle->safe_psql('postgres', $check);
cmp_ok($drawn, '<', $last + 100, 'numbers go on where they were when every month could be asked');
my $locks = qq{begin; $check; select count(*) from pg_locks as l join pg_class as c on c.oid = l.relation
	where l.pid = pg_backend_pid() and c.relnamespace = 'admin'::regnamespace and c.relname like 'audit_y%' and not c.relname like to_char(now() at time zone 'UTC', '"audit_y"YYYY"m"MM"%"'); rollback};
$idle->restart;
like($idle->safe_psql('postgres', $locks), qr/\n0\z/, 'the first check after a restart keeps no lock on another month');

$last = draw_while("lock table $other in access exclusive mode");
cmp_ok($last, '>', 500010, 'the first check after a restart draws a number above those of a locked month');
is(log_count($idle, qr/numbers of the audit trail go on above \d+: a partition was locked/), 1, 'the log says why numbers were left out');
is($idle->safe_psql('postgres', qq{select payload ->> 'object', (payload ->> 'found')::bigint >= $drawn, (payload ->> 'moved_to')::bigint between (payload ->> 'found')::bigint + 1 and $last
	from admin.audit where event_type = 'guard.changed' and payload ->> 'command' = 'restart'}), 'admin.audit_audit_id_seq|t|t', 'the trail says from where to where the sequence was moved at the restart');
$next = draw_while("reindex index admin." . ($other =~ s/^admin\.//r) . '_pkey');
cmp_ok($next, '>', $last, 'the first check draws a higher number while an index of another month is locked');

# create_audit_partitions() keeps its locks for a short while.  This one goes away a tenth of a second after the check has begun to ask.
$idle->restart;
$last = $idle->safe_psql('postgres', q{select last_value from admin.audit_audit_id_seq});
my $brief = $idle->background_psql('postgres');
$brief->query_until(qr/begun/, qq{\\echo begun
	do \$\$ begin
		lock table $other in access exclusive mode;
		while not exists (select from pg_locks where relation = 'admin.audit'::regclass and mode = 'RowExclusiveLock' and pid <> pg_backend_pid()) loop
			perform pg_sleep(0.001);
		end loop;
		perform pg_sleep(0.1);
	end \$\$;
	\\echo done\n});
$idle->poll_query_until('postgres', "select exists (select from pg_locks where relation = '$other'::regclass and mode = 'AccessExclusiveLock' and granted)") or die 'no lock';
cmp_ok($idle->safe_psql('postgres', $check), '<', $last + 100, 'numbers go on where they were after a month was locked for a tenth of a second');
$brief->quit;

# Another index of audit_id may come before the primary key, and end with the lowest number.
my $now = $idle->safe_psql('postgres', q{select replace(partition::text, 'admin.', '') from admin.audit_partitions() where now() >= lower_bound and now() < upper_bound});
$idle->safe_psql('postgres', "create index downwards on admin.$now (audit_id desc)");
$idle->safe_psql('postgres', "reindex index concurrently admin.${now}_pkey");
is($idle->safe_psql('postgres', "select 'admin.downwards'::regclass::oid < 'admin.${now}_pkey'::regclass::oid"), 't', 'the index that goes downwards is the first of its month');
$last = $idle->safe_psql('postgres', $check);
$idle->safe_psql('postgres', $back);
$idle->restart;
$next = $idle->safe_psql('postgres', $check);
cmp_ok($next, '>', $last, 'a number that was drawn before comes not again where an index goes downwards');

# Where it is the only one of its month, its beginning says what was drawn: no number is left out.
$idle->safe_psql('postgres', "alter table admin.$now drop constraint ${now}_pkey");
$last = $idle->safe_psql('postgres', $check);
$idle->safe_psql('postgres', $back);
$idle->restart;
$next = $idle->safe_psql('postgres', $check);
ok($next > $last && $next < $last + 100, 'numbers go on where they were in a month whose only index of audit_id goes downwards') or diag("$last, $next");
$idle->safe_psql('postgres', "drop index admin.downwards; alter table admin.$now add primary key (audit_id)");

# The sequence was moved back, and the month that would tell is locked.
$idle->safe_psql('postgres', $back);
$last = draw_while("lock table $other in access exclusive mode");
cmp_ok($last, '>', $next, 'a number that was drawn before comes not again');
cmp_ok($idle->safe_psql('postgres', $check), '>', $last, 'the second check after a restart beside a locked month draws a higher number');
is($idle->safe_psql('postgres', q{select count(*) - count(distinct audit_id) from admin.audit}), 0, 'no number is there twice after a month was locked');
is($idle->safe_psql('postgres', q{select * from admin_internal.number_problems()}), '', 'readiness finds nothing wrong with numbers that were left out');
$idle->stop;
done_testing();
