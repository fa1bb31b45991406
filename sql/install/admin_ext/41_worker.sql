-- ---------------------------------------------------------------------------
-- What a worker runs with, whatever a database or a role carries.
-- ---------------------------------------------------------------------------

create function admin_internal.worker_pins(out name text, out value text)
returns setof record
as 'MODULE_PATHNAME', 'admin_worker_pins'
language c stable rows 50;

comment on function admin_internal.worker_pins() is
'The settings that a worker sets for itself, so that settings of a database or a role do not affect delivery, partitions and the sweep. A setting that this server does not have is skipped.';
