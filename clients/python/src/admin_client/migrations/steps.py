"""What revisions are made of.  Each is one statement, for the driver takes no more at once, and the same online and offline.

No percent sign: alembic doubles it in the SQL that it writes out.
"""
from __future__ import annotations

from alembic import op

EXTENSION = "admin_ext"

# The tables whose rows are users' data: what pg_dump takes along, and the months of the trail.
REFUSE_LOSS = """
do $refuse$
declare
    relation regclass;
    is_full  boolean;
    full_    text[] := '{}';
begin
    if not exists (select from pg_catalog.pg_extension where extname = 'admin_ext') then
        return;
    end if;
    for relation in
        select c.oid from pg_catalog.pg_extension as e
        join pg_catalog.pg_class as c on c.oid = any (e.extconfig)
        where e.extname = 'admin_ext' and c.relkind in ('r', 'p')
        union
        select i.inhrelid from pg_catalog.pg_inherits as i where i.inhparent = pg_catalog.to_regclass('admin.audit')
        order by 1
    loop
        -- Nothing comes in between this look and the drop.
        execute 'lock table ' || relation || ' in access exclusive mode';
        execute 'select exists (select from ' || relation || ')' into is_full;
        if is_full then
            full_ := full_ || relation::text;
        end if;
    end loop;
    if pg_catalog.cardinality(full_) > 0 then
        raise exception 'the downgrade would lose data'
            using errcode = '55000',
                  detail = 'These tables have rows: ' || pg_catalog.array_to_string(full_, ', ') || '.',
                  hint = 'Dump the database, and drop the extension by hand where that is what you want.';
    end if;
end
$refuse$"""

# The months of the trail are no members of the extension; they are empty, or the step before has refused.
DROP = """
do $drop$
declare
    partition regclass;
begin
    for partition in
        select i.inhrelid from pg_catalog.pg_inherits as i
        where i.inhparent = pg_catalog.to_regclass('admin.audit')
          and not exists (select from pg_catalog.pg_depend as d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.inhrelid and d.deptype = 'e')
    loop
        execute 'drop table ' || partition;
    end loop;
    drop extension if exists admin_ext;
end
$drop$"""


def create_extension() -> None:
    """Takes over an extension that is there already."""
    op.execute(f"create extension if not exists {EXTENSION}")


def update_extension(version: str) -> None:
    """Brings it to a version, where it is not there already."""
    op.execute(f"alter extension {EXTENSION} update to '{version}'")


def create_partitions() -> None:
    """Months for the trail; does nothing where they are."""
    op.execute("select admin.create_audit_partitions()")


def drop_extension() -> None:
    """Raises 55000 where a table of it has rows: data are not dropped by a downgrade."""
    op.execute(REFUSE_LOSS)
    op.execute(DROP)
