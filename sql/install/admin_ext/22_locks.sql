-- ---------------------------------------------------------------------------
-- Strong locks on the trail: taken in short tries, and given up when others wait.
--
-- A request for a strong lock makes all writers wait that come after it.  So it waits for
-- 50 ms at most, then lets the others pass, and tries again.
-- ---------------------------------------------------------------------------

create function admin_internal.try_lock(mode text, relations regclass[])
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
begin
    for i in 1 .. cardinality(relations) loop
        -- The first one is the parent of the others: only its holders are worth waiting for.
        execute format('lock table only %s in %s mode%s', relations[i], mode, case when i > 1 then ' nowait' else '' end);
    end loop;
    return true;
exception when lock_not_available or deadlock_detected then
    return false;
end
$$;

comment on function admin_internal.try_lock(text, regclass[]) is
'Locks relations in this mode, all or none of them; waits for the first one for 50 ms at most.';

create function admin_internal.lock_holders(mode text, relations regclass[])
returns text
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
    select string_agg(format('process %s of role "%s"', h.pid, h.usename), ', ' order by h.xact_start, h.pid)
    from (select distinct a.pid, a.usename, a.xact_start
          from pg_locks as l join pg_stat_activity as a on a.pid = l.pid
          where l.locktype = 'relation' and l.granted and l.pid <> pg_backend_pid()
            and l.database = (select d.oid from pg_database as d where d.datname = current_database())
            and l.relation = any (lock_holders.relations::oid[])
            and case lower(lock_holders.mode)
                    when 'access exclusive' then true
                    when 'share' then l.mode not in ('AccessShareLock', 'RowShareLock', 'ShareLock')
                    else l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
                end
          order by a.xact_start limit 5) as h;
end;

comment on function admin_internal.lock_holders(text, regclass[]) is
'The processes and roles whose locks are in the way of this mode, five of them at most, the oldest transaction first.';

create function admin_internal.lock_briefly(mode text, variadic relations regclass[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    own      int := (select s.setting from pg_settings as s where s.name = 'lock_timeout');
    deadline timestamptz := clock_timestamp() + make_interval(secs => case own when 0 then 3 else own / 1000.0 end);
    holders  text;
begin
    while not admin_internal.try_lock(mode, relations) loop
        if clock_timestamp() >= deadline then
            holders := admin_internal.lock_holders(mode, relations);
            raise exception 'could not lock %', (select string_agg(r::text, ', ' order by o) from unnest(relations) with ordinality as u(r, o))
                using errcode = '55P03',
                      detail = coalesce('In the way: ' || holders || '.', 'Short transactions followed each other too closely.'),
                      hint = 'Nothing was changed. Try again when these transactions have ended.';
        end if;
        perform pg_sleep(0.1);
    end loop;
end
$$;

comment on function admin_internal.lock_briefly(text, regclass[]) is
'Locks relations, the parent first, in short tries that make others wait for 50 ms at most. Gives up after the session''s lock_timeout, or 3 seconds where that is 0: 55P03, naming who holds them.';

create function admin_internal.give_way(variadic relations regclass[])
returns void
as 'MODULE_PATHNAME', 'admin_give_way'
language c volatile strict;

comment on function admin_internal.give_way(regclass[]) is
'Until this transaction ends: once another process waits for one of these relations, this session is ended. For functions whose locks last as long as the caller''s transaction. Such a transaction cannot be prepared.';

create function admin_internal.is_waited_for(variadic relations regclass[])
returns boolean
as 'MODULE_PATHNAME', 'admin_is_waited_for'
language c volatile strict;

comment on function admin_internal.is_waited_for(regclass[]) is 'Does a client wait for a lock on one of these relations?';
