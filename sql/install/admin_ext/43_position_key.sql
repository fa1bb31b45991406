-- ---------------------------------------------------------------------------
-- The key that authenticates the positions that a sink keeps.
-- ---------------------------------------------------------------------------

create table admin_internal.store_key (
    store_id uuid  not null primary key,
    key      bytea not null default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    constraint store_key_length check (octet_length(key) = 32)
);

-- The owner and superusers bypass row level security.  Members of pg_read_all_data do not, and no policy admits them.
alter table admin_internal.store_key enable row level security;

comment on table admin_internal.store_key is
'The secret that authenticates the positions of this store that a sink keeps (HMAC-SHA-256). No access of admin.grant_access() can read it. It belongs to the store id: base backups, standbys and pg_upgrade copy it, pg_dump does not.';
comment on column admin_internal.store_key.store_id is 'The store whose positions the key authenticates; see admin.store.';
comment on column admin_internal.store_key.key is '32 random bytes.';

create function admin_internal.position_key()
returns bytea
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    own     uuid := (select s.store_id from admin.store as s);
    present bytea;
begin
    select k.key into present from admin_internal.store_key as k where k.store_id = own;
    if present is null then
        delete from admin_internal.store_key as k where k.store_id <> own;
        insert into admin_internal.store_key (store_id) values (own) on conflict do nothing;
        select k.key into strict present from admin_internal.store_key as k where k.store_id = own;
    end if;
    return present;
end
$$;

comment on function admin_internal.position_key() is
'For the worker: returns the key of the present store. If the store is new or its key was removed, creates a new key.';

do $$
begin
    perform admin_internal.position_key();
end
$$;
