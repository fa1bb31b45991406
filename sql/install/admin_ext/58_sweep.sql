-- ---------------------------------------------------------------------------
-- The sweep: announces deadlines that have passed.  Decisions do not need it.
-- ---------------------------------------------------------------------------

-- One row per approval with a deadline that is still to be announced, in the order of time.  The cost of a sweep
-- depends on how many are due, not on how many approvals there are.
create table admin.sweep_due (
    approval_id text        collate "C" not null primary key,
    ttl_state   text        not null,
    due_at      timestamptz not null,
    constraint sweep_due_ttl_state check (ttl_state in ('expired', 'stale'))
)
-- A sweep reads past the rows that were removed since the last vacuum.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

create index sweep_due_at on admin.sweep_due (due_at);

comment on table admin.sweep_due is
'The next deadline of each approval that the sweep has to announce. The trigger sweep_schedule and the sweep maintain it. The sweep removes the row of an approval that is withdrawn or stale.';
comment on column admin.sweep_due.approval_id is 'The approval.';
comment on column admin.sweep_due.ttl_state is
'The state that the approval enters at due_at and that the sweep announces: first expired, then stale.';
comment on column admin.sweep_due.due_at is 'The first instant of this state.';
comment on index admin.sweep_due_at is 'Lets a sweep read only the rows that are due.';

create function admin_internal.sweep_schedule()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    announced text[];
begin
    -- A dump brings its own rows, and so does a subscription.
    if current_setting('admin_ext.restoring') = 'on' and current_setting('session_replication_role') = 'replica' then
        return null;
    end if;
    if tg_op = 'INSERT' then
        if new.state <> 'withdrawn' and current_setting('admin_ext.restoring') = 'off' then
            insert into admin.sweep_due (approval_id, ttl_state, due_at) values (new.approval_id, 'expired', new.sla_deadline);
        end if;
        return null;
    end if;
    -- Once for each deadline: one that it had before, and has again, was perhaps announced.
    announced := array(select a.event_type from admin.audit as a
                       where a.approval_id = new.approval_id and a.event_type in ('approval.expired', 'approval.stale')
                         and a.payload -> 'row' ->> 'sla_deadline'
                             = to_char(new.sla_deadline at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
    delete from admin.sweep_due as d where d.approval_id = new.approval_id;
    if not 'approval.expired' = any (announced) then
        insert into admin.sweep_due (approval_id, ttl_state, due_at) values (new.approval_id, 'expired', new.sla_deadline);
    elsif not 'approval.stale' = any (announced) then
        insert into admin.sweep_due (approval_id, ttl_state, due_at)
        values (new.approval_id, 'stale', new.sla_deadline + interval '24:00:00.000001');
    end if;
    return null;
end
$$;

comment on function admin_internal.sweep_schedule() is
'Trigger of admin.approval: records in admin.sweep_due what the sweep has to announce for a new approval or a changed deadline.';

create trigger sweep_schedule
after insert on admin.approval
for each row execute function admin_internal.sweep_schedule();

create trigger sweep_schedule_deadline
after update of sla_deadline on admin.approval
for each row when (old.sla_deadline is distinct from new.sla_deadline)
execute function admin_internal.sweep_schedule();

alter table admin.approval enable always trigger sweep_schedule;
alter table admin.approval enable always trigger sweep_schedule_deadline;

comment on trigger sweep_schedule on admin.approval is 'Schedules the announcement of a new approval''s deadline.';
comment on trigger sweep_schedule_deadline on admin.approval is 'Schedules the announcement of a changed deadline.';

create function admin.sweep_expired(max_rows int default 10000)
returns bigint
as 'MODULE_PATHNAME', 'admin_sweep_expired'
language c volatile parallel unsafe;

comment on function admin.sweep_expired(int) is
'Announces deadlines that have passed, as approval.expired and then approval.stale, each once per approval and deadline. Returns how many it announced, at most max_rows. It ends early if another session waits for an approval that it has locked. It returns 0 if no deadline is left that other sessions are not processing. Any number of sessions may call it at once, in READ COMMITTED transactions. Raises 22023 unless max_rows is positive. Raises 55000 while admin_ext.restoring is on.';

-- ---------------------------------------------------------------------------
-- Which process sweeps: pg_cron if it has a job that can, else the worker.
-- ---------------------------------------------------------------------------

-- The table cron.job must belong to pg_cron: any user's schema may be named "cron".
create function admin_internal.cron_is_here()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
return exists (select from pg_extension as e
               join pg_depend as d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
               join pg_class as c on d.classid = 'pg_class'::regclass and c.oid = d.objid
               where e.extname = 'pg_cron' and c.relname = 'job' and c.relnamespace = to_regnamespace('cron'));

comment on function admin_internal.cron_is_here() is 'Whether pg_cron is installed in this database.';

-- The pg_cron jobs that sweep this database, in order of their ids, each with its problem.
create function admin_internal.sweep_jobs(out job_id bigint, out schedule text, out problem text)
returns setof record
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    job      record;
    last_run record;
begin
    if not admin_internal.cron_is_here() then
        return;
    end if;
    for job in execute 'select j.jobid, j.schedule, j.username, j.active, j.command like ''%admin.sweep_expired(%'' as does_sweep from cron.job as j '
                       'where (j.command like ''%admin.sweep_expired(%'' or j.jobname = $1) and j.database = current_database() order by j.jobid'
               using admin_internal.sweep_job_name()
    loop
        execute 'select r.status, r.return_message from (select * from cron.job_run_details order by runid desc limit 1000) as r '
                'where r.jobid = $1 and r.status in (''succeeded'', ''failed'') order by r.runid desc limit 1' into last_run using job.jobid;
        job_id := job.jobid;
        schedule := job.schedule;
        problem := format('job %s of pg_cron does not sweep: ', job_id) || case
            when not job.does_sweep then 'its command does not call admin.sweep_expired()'
            when not job.active then 'it is not active'
            when not exists (select from pg_roles as r where r.rolname = job.username) then format('its role "%s" does not exist', job.username)
            when not has_schema_privilege(job.username::name, 'admin', 'usage')
                 or not has_function_privilege(job.username::name, 'admin.sweep_expired(int)', 'execute')
                then format('its role "%s" may not call admin.sweep_expired()', job.username)
            when current_setting('cron.database_name', true) is distinct from current_database()
                 or not exists (select from pg_stat_activity as a where a.backend_type = 'pg_cron launcher') then 'pg_cron is not running for this database'
            when last_run.status = 'failed' then 'its last run failed: ' || left(last_run.return_message, 200)
        end;
        return next;
    end loop;
end
$$;

comment on function admin_internal.sweep_jobs() is
'The pg_cron jobs of this database that call admin.sweep_expired(). problem: what prevents the job from sweeping; null if the job can sweep.';

create function admin_internal.sweep_by_worker(out database name, out swept_at timestamptz, out error text)
returns setof record
as 'MODULE_PATHNAME', 'admin_sweep_by_worker'
language c volatile rows 4;

comment on function admin_internal.sweep_by_worker() is
'When each worker of this cluster last completed a sweep, and the error that has prevented a sweep since. The workers write these values to shared memory.';

create function admin_internal.sweep_status_row(
    out swept_by text, out job_id bigint, out schedule text, out problem text,
    out due_rows bigint, out overdue_seconds double precision, out next_due_at timestamptz)
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Of a variable an index is asked, of the clock it is not.
    present     timestamptz := clock_timestamp();
    has_worker  boolean := current_setting('admin_ext.sweep_interval') <> '0'
                           and exists (select from admin_internal.worker_status_rows() as w where w.database = current_database() and w.pid is not null);
    worker_said text := (select case when bool_and(w.error is not null) then 'the worker could not sweep: ' || min(w.error) end
                         from admin_internal.sweep_by_worker() as w where w.database = current_database());
begin
    if exists (select from admin.store as s where s.adopted_at is null) then
        worker_said := 'the worker could not sweep: this copy of the audit trail waits for admin.resync_sink()';
    end if;
    select j.job_id, j.schedule, j.problem into job_id, schedule, problem
    from admin_internal.sweep_jobs() as j order by j.problem is not null, j.job_id limit 1;
    swept_by := case when job_id is not null and problem is null then 'pg_cron'
                     when has_worker and worker_said is null then 'worker'
                     else 'nobody' end;
    if swept_by = 'nobody' and has_worker then
        problem := concat_ws('; ', problem, worker_said);
    end if;
    select count(*), coalesce(extract(epoch from present - min(d.due_at)), 0) into due_rows, overdue_seconds
    from (select s.due_at from admin.sweep_due as s where s.due_at <= present order by s.due_at limit 10000) as d;
    next_due_at := (select s.due_at from admin.sweep_due as s where s.due_at > present order by s.due_at limit 1);
end
$$;

comment on function admin_internal.sweep_status_row() is 'The row of admin.sweep_status.';

create view admin.sweep_status as select * from admin_internal.sweep_status_row();

comment on view admin.sweep_status is
'One row: which process announces passed deadlines in this database, and how many are due. Decisions do not depend on it.';
comment on column admin.sweep_status.swept_by is
'pg_cron, if a pg_cron job of this database calls admin.sweep_expired() and can run. worker, if a worker runs that can sweep and admin_ext.sweep_interval is not 0. Else nobody.';
comment on column admin.sweep_status.job_id is 'Id of the pg_cron job; null if this database has no such job.';
comment on column admin.sweep_status.schedule is 'Schedule of the pg_cron job.';
comment on column admin.sweep_status.problem is
'What prevents the pg_cron job from sweeping (the worker sweeps meanwhile), or what prevents the worker. Null if there is no problem.';
comment on column admin.sweep_status.due_rows is
'Number of approvals with a deadline to be announced now, at most 10000.';
comment on column admin.sweep_status.overdue_seconds is
'For how many seconds the first of them has been due; 0 if no deadline is due.';
comment on column admin.sweep_status.next_due_at is
'When the next deadline will be due; null if no deadline lies ahead.';

create function admin_internal.sweep_job_name()
returns text
language sql stable
set search_path = pg_catalog, pg_temp
return left('admin_ext sweep of ' || current_database(), 63);

comment on function admin_internal.sweep_job_name() is
'The name of the pg_cron job that admin.schedule_sweep() creates.';

-- Ends each transaction soon, so that a session that signs or withdraws does not wait for many approvals.
create function admin_internal.sweep_command()
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
return 'do $sweep$ begin loop exit when admin.sweep_expired(1000) = 0; commit; end loop; end $sweep$';

comment on function admin_internal.sweep_command() is
'The command of the pg_cron job that admin.schedule_sweep() creates.';

-- "statement" is what the caller can run in the database of pg_cron instead.
create function admin_internal.warn_without_cron(statement text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    cron_database text := current_setting('cron.database_name', true);
    is_swept      boolean := (select s.swept_by <> 'nobody' from admin_internal.sweep_status_row() as s);
begin
    raise warning 'pg_cron is not installed in database "%"', current_database()
        using errcode = '55000',
              detail = case when is_swept then format('The worker sweeps, every %s.', current_setting('admin_ext.sweep_interval'))
                            else 'Nobody sweeps: deadlines that pass are not announced. Decisions do not need it.' end,
              hint = case when cron_database = current_database() then 'Run CREATE EXTENSION pg_cron in this database.'
                          when cron_database is not null then format('In database "%s", run: select %s', cron_database, statement)
                          else 'pg_cron is not in shared_preload_libraries. The worker sweeps where admin_ext.databases lists the database and admin_ext.sweep_interval is not 0.' end;
end
$$;

comment on function admin_internal.warn_without_cron(text) is
'For admin.schedule_sweep() and admin.unschedule_sweep() if pg_cron is not installed. Raises a WARNING that says which process sweeps, and what the caller can do instead.';

create function admin_internal.check_cron_usage()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not has_schema_privilege('cron', 'usage') then
        raise exception 'permission denied for schema cron'
            using errcode = '42501', hint = format('As a superuser, run: grant usage on schema cron to %I', current_user);
    end if;
end
$$;

comment on function admin_internal.check_cron_usage() is
'Raises 42501 unless the caller may use the schema cron. The hint names the GRANT that a superuser can run.';

-- The job belongs to the caller, who needs USAGE on the schema cron.
create function admin.schedule_sweep(schedule text default '* * * * *')
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if schedule_sweep.schedule is null then
        raise exception 'argument "schedule" is null'
            using errcode = '22023', detail = 'A schedule of pg_cron is needed, as "* * * * *".', hint = 'To end it call admin.unschedule_sweep().';
    end if;
    if admin_internal.cron_is_here() then
        perform admin_internal.check_cron_usage();
        -- Anew: what was switched off or edited is not put right by a schedule.
        execute 'select cron.unschedule(j.jobid) from cron.job as j where j.jobname = $1 and j.database = current_database() and j.username = current_user'
        using admin_internal.sweep_job_name();
        execute 'select cron.schedule($1, $2, $3)' using admin_internal.sweep_job_name(), schedule_sweep.schedule, admin_internal.sweep_command();
    else
        perform admin_internal.warn_without_cron(format('cron.schedule_in_database(%L, %L, %L, %L)', admin_internal.sweep_job_name(), schedule_sweep.schedule,
                                               admin_internal.sweep_command(), current_database()));
    end if;
    return (select s.swept_by from admin_internal.sweep_status_row() as s);
end
$$;

comment on function admin.schedule_sweep(text) is
'Schedules admin.sweep_expired() as a pg_cron job of the caller. A repeated call recreates the job. If pg_cron is not installed in this database, a WARNING says which process sweeps instead, and how to create a job from the database of pg_cron. Returns the new value of admin.sweep_status.swept_by: pg_cron, worker or nobody. Raises 22023 for a schedule that pg_cron does not accept, 42501 without USAGE on the schema cron.';

create function admin.unschedule_sweep()
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if admin_internal.cron_is_here() then
        perform admin_internal.check_cron_usage();
        execute 'select cron.unschedule(j.jobid) from cron.job as j where j.jobname = $1 and j.database = current_database()'
        using admin_internal.sweep_job_name();
    else
        perform admin_internal.warn_without_cron(format('cron.unschedule(%L)', admin_internal.sweep_job_name()));
    end if;
    return (select s.swept_by from admin_internal.sweep_status_row() as s);
end
$$;

comment on function admin.unschedule_sweep() is
'Removes those jobs of admin.schedule_sweep() that the caller may see, and leaves the sweep to the worker. Changes nothing if there is no such job. Returns the new value of admin.sweep_status.swept_by. Raises 42501 without USAGE on the schema cron if pg_cron is installed.';
