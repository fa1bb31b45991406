-- ---------------------------------------------------------------------------
-- Strong locks on the trail: taken in short attempts, and given up when others wait.
--
-- While a request for a strong lock waits, all later writers wait behind it.  So an attempt
-- waits for at most 50 ms.  Then the writers proceed, and the function retries.
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
'Tries to lock all these relations in this mode. Waits at most 50 ms for the first one and does not wait for the others. Returns false, without a lock, if one of them is not available.';

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
'Returns the processes and roles whose locks conflict with this mode, five at most, the oldest transaction first.';

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
'Locks relations, the parent first, in short attempts that make others wait for at most 50 ms. Gives up after the session''s lock_timeout, or after 3 seconds if that is 0. It then raises 55P03; the detail names the holders.';

create function admin_internal.give_way(variadic relations regclass[])
returns void
as 'MODULE_PATHNAME', 'admin_give_way'
language c volatile strict;

comment on function admin_internal.give_way(regclass[]) is
'Until this transaction ends: terminates this session once another process waits for one of these relations. For functions that hold locks until the caller''s transaction ends. Such a transaction cannot be prepared.';

create function admin_internal.is_waited_for(variadic relations regclass[])
returns boolean
as 'MODULE_PATHNAME', 'admin_is_waited_for'
language c volatile strict;

comment on function admin_internal.is_waited_for(regclass[]) is 'Returns true if a client waits for a lock on one of these relations.';
