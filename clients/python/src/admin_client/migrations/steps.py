"""The steps that migrations are made of.

Each is one statement, for asyncpg takes no more at a time, and leaves it to the server to look and to decide: so
`--sql` writes what would be done, refusals included.
"""

from __future__ import annotations

from alembic import op

EXTENSION = "admin_ext"
# Builds on it, and is there while data moves from the file-backed store.  Somebody else creates it.
CUTOVER = "admin_ext_cutover"

# What a transaction that migrates begins with.  A refusal sees what was committed before it had its locks, whatever
# isolation the session begins with; a superuser's names are nobody else's; and migrations come one after the other.
OPENING = (
    "set transaction isolation level read committed",
    "set local search_path to pg_catalog, pg_temp",
    "do $$ begin perform pg_advisory_xact_lock(hashtextextended('admin_alembic_version', 0)); end $$",
)

REFUSE_LOSS = """do $$
declare
    relation text;
    rows_in  bigint;
    held     text[] := '{{}}';
begin
    -- Without locks first: where there is something to lose nobody is kept waiting.
    for locking in 0 .. 1 loop
        -- The trail comes last, as it does for those who write.
        for relation in
            select format('%I.%I', n.nspname, c.relname)
            from (select coalesce(pg_partition_root(config.oid), config.oid) as oid
                  from pg_extension, unnest(extconfig) as config(oid) where extname in ('{extension}', '{cutover}')
                  union select to_regclass('admin.audit')) as holding
            join pg_class as c on c.oid = holding.oid and c.relkind in ('r', 'p')
            join pg_namespace as n on n.oid = c.relnamespace
            -- It has its one row from the beginning.
            where holding.oid <> to_regclass('admin.audit_dropped')
            order by c.relkind = 'p', c.oid
        loop
            if locking = 1 then
                execute format('lock table %s in access exclusive mode', relation);
            end if;
            execute format('select count(*) from %s', relation) into rows_in;
            if rows_in > 0 then
                held := held || format('%s: %s', relation, rows_in);
            end if;
        end loop;
        if held <> '{{}}' then
            raise exception 'extension "{extension}" holds data that would be lost'
                using errcode = '55000', detail = 'Rows: ' || array_to_string(held, ', ') || '.',
                      hint = 'Nothing was changed. Keep a dump, and drop the extension yourself where the data may go.';
        end if;
    end loop;
end $$"""

UPDATE_EXTENSION = """do $$
declare
    installed text := (select extversion from pg_extension where extname = '{extension}');
begin
    -- One that was made by hand may be ahead of its migrations.
    if installed is distinct from '{to}'
       and not exists (select from pg_extension_update_paths('{extension}') where source = '{to}' and target = installed and path is not null) then
        alter extension {extension} update to '{to}';
    end if;
end $$"""


def create_extension() -> None:
    """Creates the extension, in the version that the server prefers.  One that is there already stays as it is."""
    op.execute(f"create extension if not exists {EXTENSION}")


def update_extension(to: str) -> None:
    """Brings the extension to a version, unless it is there or further already.

    Error: 22023 where the server has no way from the version that is installed to this one, 42704 without extension.
    """
    op.execute(UPDATE_EXTENSION.format(extension=EXTENSION, to=to))


def create_audit_partitions() -> None:
    """Makes this month of the trail and those ahead, where they are not there."""
    op.execute("do $$ begin perform admin.create_audit_partitions(); end $$")


def refuse_loss() -> None:
    """Goes on only where no table with users' data (`pg_extension.extconfig`) and no partition of the trail has a row,
    and sees to it that none comes before the transaction is over.

    Error: 55000, whose detail tells which tables have how many.
    """
    op.execute(REFUSE_LOSS.format(extension=EXTENSION, cutover=CUTOVER))


def drop_extension() -> None:
    """Drops the extension, and with it the partitions of its trail, and the extension for the move.

    Error: 2BP01 where other objects depend on it.
    """
    op.execute(f"drop extension if exists {CUTOVER}, {EXTENSION}")
