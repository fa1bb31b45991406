# The sweep: two of them at once while the clock is moved across deadlines; the worker's own
# timer, with a sink that is down too; and none at all.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Clock;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

my $steps = $ENV{SWEEP_STEPS} // 60;
my $hour = 3600;
my $check = "select admin.sensitive_check('APP-000001-s')";
set_clock(0);
my $node;
by_clock(sub { $node = new_node('sweep', conf => "admin_ext.sweep_interval = 1s\n") });
create_extension($node);

# Approvals of every state, with a deadline every half hour for six days.
$node->safe_psql('postgres', q{
	insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
	select 'APP-' || lpad(n::text, 6, '0') || '-s', 'pay', '{r}', 1, 'me', now() + n * interval '30 minutes' from generate_series(1, 288) as n;
	insert into admin.signature (approval_id, signer_role, signer) select approval_id, 'r', 'you' from admin.approval where approval_id like '%0-s'});

# What is wrong with what was announced, given the furthest that the clock has been (in seconds).
sub wrong
{
	my ($furthest) = @_;
	return $node->safe_psql('postgres', qq{
		with announced as (select approval_id, array_agg(event_type order by audit_id) as events from admin.audit
		                   where event_type in ('approval.expired', 'approval.stale') group by 1),
		     wanted as (select approval_id, case when age > interval '24 hours' then array['approval.expired', 'approval.stale']
		                                         when age >= interval '0' then array['approval.expired'] end as events
		                from (select approval_id, zero.created_at + interval '$furthest seconds' - sla_deadline as age
		                      from admin.approval cross join (select created_at from admin.approval where approval_id = 'APP-000001-s') as zero
		                      where state <> 'withdrawn') as a)
		select count(*) from wanted left join announced using (approval_id) where wanted.events is distinct from announced.events});
}

# A second sweeper beside the worker, in parts of its own size.
my $second = $node->background_psql('postgres', on_error_stop => 1);
my $furthest = 0;
srand($ENV{SEED} // 11);
for my $step (1 .. $steps)
{
	# Mostly forward, now and then back; five minutes aside from any deadline.
	my $to = $step % 7 == 0 ? int(rand($furthest)) : $furthest + int(rand(3 * $hour));
	$to = $to - $to % 1800 + 300;
	set_clock($to);
	$furthest = $to if $to > $furthest;
	$second->query_safe('select admin.sweep_expired(3)') for 1 .. 3;
	$node->safe_psql('postgres', 'update admin.approval set state = $$withdrawn$$, closed_at = now() where approval_id = $$APP-'
		. sprintf('%06d', 2 * $step) . '-s$$ and state <> $$withdrawn$$');
}
set_clock($furthest);
ok(poll(sub { $node->safe_psql('postgres', 'select due_rows from admin.sweep_status') == 0 }), 'all that is due has been announced');
$second->quit;
is(wrong($furthest), '0', "each deadline that the clock has crossed in $steps steps was announced once, expired before stale");
is($node->safe_psql('postgres', q{select count(*) from admin.audit as s join admin.audit as w using (approval_id)
	where w.event_type = 'approval.withdrawn' and s.event_type in ('approval.expired', 'approval.stale') and s.audit_id > w.audit_id}), '0',
	'no approval is announced as expired or stale after its withdrawal');
is($node->safe_psql('postgres', q{select swept_by from admin.sweep_status}), 'worker', 'the worker sweeps, says the status');
ok(wait_delivered($node), 'announcements are delivered');
compare_ledger($node, 'what was announced');

# The clock goes on a day, with nobody but the worker.
$furthest += 25 * $hour;
set_clock($furthest);
ok(poll(sub { wrong($furthest) == 0 }), 'the worker alone announces the rest');

# A sink that is down does not keep it.
my $directory = $node->data_dir . '/admin_ext';
chmod 0500, $directory or die $!;
$node->safe_psql('postgres', q{alter system set admin_ext.ndjson_rotate_size = '1kB'; select pg_reload_conf(); select admin.sensitive_check('APP-000001-s')});
ok(wait_status($node, 'backing_off'), 'the sink is down');
$furthest += 30 * $hour;
set_clock($furthest);
ok(poll(sub { wrong($furthest) == 0 }), 'the worker sweeps while the sink is down');
chmod 0700, $directory or die $!;
ok(wait_delivered($node), 'announcements are delivered when the sink is back');
compare_ledger($node, 'what was announced while the sink was down');

# Does it, within ten seconds?
sub says { my ($query) = @_; return poll(sub { $node->safe_psql('postgres', $query) eq 't' }, 10); }

# Nor does a sweep that fails keep the sink, or one that has to wait for a table.
sub sweeps_again
{
	my ($name) = @_;
	$furthest += 30 * $hour;
	set_clock($furthest);
	ok(poll(sub { wrong($furthest) == 0 }), "$name: the worker sweeps again");
	is($node->safe_psql('postgres', 'select swept_by, problem from admin.sweep_status'), 'worker|', "$name: sweep_status says that the worker sweeps, without a problem");
}

my $worker = status($node, 'pid');
$node->safe_psql('postgres', q{insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
	select 'APP-8' || lpad(n::text, 5, '0') || '-s', 'pay', '{r}', 1, 'me', now() + n * interval '20 hours' from generate_series(1, 8) as n;
	alter table admin.sweep_due add constraint broken check (ttl_state <> 'stale') not valid});
set_clock($furthest + 25 * $hour);
ok(says(q{select swept_by = 'nobody' and problem like 'the worker could not sweep: %"broken"%' from admin.sweep_status}),
	'a sweep that fails: the status says why');
$node->safe_psql('postgres', $check);
ok(wait_delivered($node), 'delivery goes on while the sweep fails');
my $failures = log_count($node, 'could not sweep');
my $tried = $node->safe_psql('postgres', 'select clock_timestamp() + interval \'3 seconds\'');
$node->poll_query_until('postgres', "select clock_timestamp() > '$tried'");
is(log_count($node, 'could not sweep'), $failures, 'a sweep that keeps failing adds no line to the log');
$node->safe_psql('postgres', 'alter table admin.sweep_due drop constraint broken');
sweeps_again('after a sweep that failed');
my $holder = $node->background_psql('postgres', on_error_stop => 1);
$holder->query_safe('begin; lock table admin.approval in exclusive mode');
$furthest += 25 * $hour;
set_clock($furthest);
ok(says(q{select problem like '%lock timeout' from admin.sweep_status}), 'a table that is locked: the worker gives way');
$node->safe_psql('postgres', q{select admin_internal.append_event('x', '{}')});
ok(says(q{select not exists (select from admin.audit_delivery where sink_status <> 'delivered')}), 'the worker delivers while table admin.approval is locked');
$holder->query_safe('rollback');
$holder->quit;
sweeps_again('after a table was locked');
is(status($node, 'pid'), $worker, 'the worker is the same process after failed sweeps and a locked table');

# None at all: decisions are the same, and somebody who sweeps later announces all of it.
configure($node, 'admin_ext.sweep_interval' => '0');
ok($node->poll_query_until('postgres', "select swept_by = 'nobody' from admin.sweep_status"), 'with an interval of 0 nobody sweeps');
$node->safe_psql('postgres', q{insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
	select 'APP-90000' || n || '-s', 'pay', '{r}', 1, 'me', now() + n * interval '10 hours' from generate_series(1, 5) as n});
my $before = $node->safe_psql('postgres', 'select max(audit_id) from admin.audit');
set_clock($furthest + 45 * $hour);
is($node->safe_psql('postgres', q{select string_agg(ttl_state, ' ' order by approval_id) from admin.approval_ttl_state where approval_id like 'APP-9%'}),
	'stale stale expired expired not-applicable', 'what has expired is expired, announced or not');
is($node->safe_psql('postgres', q{select admin.sensitive_check('APP-900003-s') ->> 'reason'}), 'approval_expired', 'a check says that an approval has expired before anybody announces it');
is($node->safe_psql('postgres', "select count(*) from admin.audit where audit_id > $before and event_type <> 'sensitive.check.2b'"), '0', 'nothing is announced while nobody sweeps');
$node->safe_psql('postgres', q{select admin.sweep_expired()});
is($node->safe_psql('postgres', q{select string_agg(event_type, ' ' order by approval_id, audit_id) from admin.audit
	where approval_id like 'APP-9%' and event_type in ('approval.expired', 'approval.stale')}),
	'approval.expired approval.stale approval.expired approval.stale approval.expired approval.expired', 'a sweep at last announces it all');

# What a dump brings is not announced before somebody has said where delivery goes on.
configure($node, 'admin_ext.sweep_interval' => '1s');
ok(says(q{select swept_by = 'worker' from admin.sweep_status}), 'the worker sweeps when sweep_interval is set again');
$node->safe_psql('postgres', q{set admin_ext.restoring = on;
	with gone as (delete from admin.sweep_due where approval_id = 'APP-900005-s' returning *) insert into admin.sweep_due select * from gone});
ok(says(q{select swept_by = 'nobody' and problem like '%waits for admin.resync_sink()' from admin.sweep_status}), 'a dump is being loaded: nobody sweeps');
set_clock($furthest + 55 * $hour);
ok(says(q{select due_rows > 0 and overdue_seconds > 3 from admin.sweep_status}), 'sweep_status shows what is due while a dump is being loaded');
is($node->safe_psql('postgres', q{select count(*) from admin.audit where approval_id = 'APP-900005-s' and event_type = 'approval.expired'}), '0', 'a deadline is not announced while a dump is being loaded');
$node->safe_psql('postgres', q{select admin.resync_sink('ndjson', (select max(audit_id) + 1 from admin.audit))});
ok(says(q{select count(*) = 1 from admin.audit where approval_id = 'APP-900005-s' and event_type = 'approval.expired'}), 'a deadline from a dump is announced after resync_sink');
$node->stop;
done_testing();
