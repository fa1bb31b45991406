-- ---------------------------------------------------------------------------
-- The tables that the extension keeps its books in.
-- ---------------------------------------------------------------------------

create function admin_internal.bookkeeping()
returns trigger
as 'MODULE_PATHNAME', 'admin_bookkeeping'
language c;

comment on function admin_internal.bookkeeping() is
'Trigger of the tables that the extension keeps its books in. Notes the rows of a dump, which mark the store as loaded. Appends row.inserted, row.updated, row.deleted or row.truncated for a change that the extension''s own code does not make.';
