# Settings that a database carries have no say in delivery, in months and in the sweep.  Every
# setting of the server that a session may change is either pinned by the worker or known here
# to do no harm: one that a new version adds is noticed.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Delivery;
use PostgreSQL::Test::Utils;
use Test::More;

# They change how fast something is, what is logged or shown to a client, how a server is debugged or
# mended, or how much of a resource may be used; or the worker never does what they are about.
my $harmless = qr/^(?:
	enable_\w+ | (?:seq_page|random_page|cpu_\w+|parallel_\w+)_cost | effective_\w+ | geqo\w* | jit\w* | min_parallel_\w+ | max_parallel_\w+ |
	parallel_leader_participation | constraint_exclusion | cursor_tuple_fraction | default_statistics_target | \w+_collapse_limit | plan_cache_mode |
	recursive_worktable_factor | work_mem | hash_mem_multiplier | maintenance_work_mem | logical_decoding_work_mem | temp_buffers | max_stack_depth |
	temp_file_limit | backend_flush_after | maintenance_io_concurrency | io_\w+ | vacuum_\w+ | gin_pending_list_limit | synchronize_seqscans |
	log_\w+ | debug_print_\w+ | debug_pretty_print | client_min_messages | update_process_title | track_\w+ | compute_query_id | stats_fetch_consistency | trace_\w+ |
	lc_messages | client_encoding | default_text_search_config | application_name | password_encryption | scram_iterations | md5_password_warnings | createrole_self_grant |
	tcp_\w+ | client_connection_check_interval | wal_sender_timeout | local_preload_libraries | session_preload_libraries | dynamic_library_path | extension_\w+ | output_plugin_libraries |
	backtrace_functions | allow_in_place_tablespaces | debug_discard_caches | debug_\w+ | ignore_checksum_failure | ignore_system_indexes | zero_damaged_pages | post_auth_delay |
	wal_\w+ | commit_delay | commit_siblings | deadlock_timeout | composite_type_mismatch | send_abort_for_\w+ | file_copy_method | event_triggers | allow_alter_system |
	transaction_(?:isolation|read_only|deferrable) | bonjour\w* | icu_validation_level | restart_after_crash | reserved_connections |
	admin_ext\.(?:jwt_leeway|require_verified_jwt|\w+) | plpgsql\.\w+
)$/x;

my $node = new_node('settings', conf => "admin_ext.databases = 'odd'\nadmin_ext.sweep_interval = '100ms'\n");
$node->safe_psql('postgres', 'create database odd');
create_extension($node, 'odd');
my %pinned = map { split /\t/, $_, 2 } split /\n/, $node->safe_psql('odd', q{select name || E'\t' || value from admin_internal.worker_pins()});
my @names = split /\n/, $node->safe_psql('odd', q{select name from pg_settings where context in ('user', 'superuser', 'backend', 'superuser-backend') order by 1});
cmp_ok(scalar(@names), '>', 150, 'the server says what sessions may set');
is(join(' ', grep { !exists $pinned{$_} && $_ !~ $harmless } @names), '', 'each setting of a session is pinned, or known to do no harm');

# A value for each pinned setting that would do harm, or at least another one.
my $space = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "create tablespace odd_space location '$space'");
$node->safe_psql('postgres', 'create role odd_role; create access method odd_heap type table handler heap_tableam_handler');
$node->safe_psql('odd', 'create access method odd_heap type table handler heap_tableam_handler');
my %odd = (
	role => 'odd_role', row_security => 'off', session_replication_role => 'replica', restrict_nonsystem_relation_kind => 'view',
	lo_compat_privileges => 'on', allow_system_table_mods => 'on', search_path => 'nowhere', standard_conforming_strings => 'off',
	escape_string_warning => 'off', backslash_quote => 'on', array_nulls => 'off', transform_null_equals => 'on', xmloption => 'document',
	check_function_bodies => 'off', 'plpgsql.variable_conflict' => 'use_column', 'plpgsql.extra_errors' => 'all', quote_all_identifiers => 'on', DateStyle => 'SQL, DMY',
	IntervalStyle => 'sql_standard', TimeZone => 'Asia/Kathmandu', timezone_abbreviations => 'India', extra_float_digits => '-15', bytea_output => 'escape',
	xmlbinary => 'hex', lc_monetary => 'POSIX', lc_numeric => 'POSIX', lc_time => 'POSIX', default_tablespace => 'odd_space', temp_tablespaces => 'odd_space',
	default_table_access_method => 'odd_heap', default_toast_compression => 'pglz', statement_timeout => '1ms', lock_timeout => '1ms',
	idle_in_transaction_session_timeout => '1ms', idle_session_timeout => '1ms', transaction_timeout => '1ms', exit_on_error => 'on',
	default_transaction_isolation => 'serializable', default_transaction_read_only => 'on', default_transaction_deferrable => 'on',
	force_parallel_mode => 'on', debug_parallel_query => 'on', gin_fuzzy_search_limit => '1', synchronous_commit => 'off', 'admin_ext.restoring' => 'on');
is(join(' ', grep { !exists $odd{$_} } sort keys %pinned), '', 'each pinned setting is tried');
my %there = map { $_ => 1 } @names, 'role', 'plpgsql.variable_conflict', 'plpgsql.extra_errors';
my @tried = grep { $there{$_} } sort keys %odd;
cmp_ok(scalar(@tried), '>', 38, 'this server has most of the pinned settings');
foreach my $name (@tried)
{
	my $value = $name =~ /search_path|tablespace|role$|access_method/ ? $odd{$name} : "'$odd{$name}'";
	$node->safe_psql('postgres', "alter database odd set $name to $value");
}

# A client's session ignores this one.
$node->safe_psql('postgres', 'alter database odd set session_authorization = odd_role');

# Our own sessions need some of them to be as usual.
$ENV{PGOPTIONS} = join ' ', map { "-c $_=$pinned{$_}" } grep { $there{$_} && $pinned{$_} =~ /^[\w]+$/ && $_ !~ /^plpgsql|^lock_timeout/ } sort keys %pinned;
$ENV{PGOPTIONS} .= ' -c search_path=pg_catalog -c lock_timeout=0';
$ENV{PGOPTIONS} .= ' -c restrict_nonsystem_relation_kind=' if $there{restrict_nonsystem_relation_kind};
my $months = q{select count(*) from pg_inherits where inhparent = 'admin.audit'::regclass};
my $before = $node->safe_psql('odd', $months);
my $last = $node->safe_psql('odd', 'select partition from admin.audit_partitions() where not is_default order by lower_bound desc limit 1');
$node->safe_psql('odd', "drop table $last");
$node->safe_psql('odd', q{set admin_ext.require_verified_jwt = off;
	select admin.issue_approval('pay', '{a}', now() + interval '300 milliseconds', 'r', 'APP-000001-a', 'ann'), admin.sign_approval('APP-000001-a', 'a', 'bob')});
$node->restart;
$node->safe_psql('odd', q{select admin.sensitive_check('APP-000002-b')});
ok($node->poll_query_until('odd', qq{select ($months) >= $before}), 'the worker makes the month that is missing');
is($node->safe_psql('odd', q{select count(*) from admin.audit_partitions() as p join pg_class as c on c.oid = p.partition join pg_am as a on a.oid = c.relam
	where c.reltablespace <> 0 or a.amname <> 'heap'}), '0', 'no month has the odd tablespace or access method of the database');
ok($node->poll_query_until('odd', q{select exists (select from admin.audit where event_type = 'approval.expired')}), 'the worker sweeps whatever settings its database carries');
ok(wait_delivered($node, 'odd'), 'the worker delivers whatever settings its database carries');
is($node->safe_psql('odd', q{select state, last_error from admin.worker_status where database = 'odd'}), 'idle|', 'the worker is idle and has no error whatever settings its database carries');
my @events = map { m/"type":"ptt\.admin\.([^"]+)"/ } ndjson_lines($node->data_dir . '/admin_ext', 'odd');
is(scalar(grep { /^(?:approval\.expired|sensitive\.check\.2b)$/ } @events), 2, 'the check and the event of the sweep are delivered once each');
$node->stop;

# Who waits for a worker that waits for him is refused as a deadlock after deadlock_timeout, when the server logs a wait, too.
my $short = new_node('short', conf => "deadlock_timeout = 200ms\nlog_lock_waits = on\n");
create_extension($short);
$short->safe_psql('postgres', q{select admin.sensitive_check('APP-000001-a')});
ok(wait_delivered($short), 'a worker runs where deadlock_timeout is short');
my $holder = $short->background_psql('postgres', on_error_stop => 1);
$holder->query_safe(q{begin; lock table admin.sink_position in access exclusive mode});
$short->safe_psql('postgres', q{select admin.sensitive_check('APP-000001-a')});
ok(poll(sub { log_count($short, qr/lock timeout|still waiting for/) > 0 || status($short, 'last_error') ne '' }), 'the worker finds a table locked where deadlock_timeout is short');
$holder->query_safe('select pg_sleep(1)');
is(log_count($short, qr/still waiting for/), 0, 'the worker waits for a lock for less than deadlock_timeout at a time');
$holder->query_safe('commit');
$holder->quit;
ok(wait_delivered($short), 'the worker delivers after the table is unlocked');
$short->stop;
done_testing();
