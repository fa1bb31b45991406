-- ---------------------------------------------------------------------------
-- Settings of a worker, independent of the settings of a database or a role.
-- ---------------------------------------------------------------------------

create function admin_internal.worker_pins(out name text, out value text)
returns setof record
as 'MODULE_PATHNAME', 'admin_worker_pins'
language c stable rows 50;

comment on function admin_internal.worker_pins() is
'Returns the settings that a worker sets for itself, so that settings of a database or a role do not affect delivery, partitions and the sweep. It omits a setting that this server does not have.';
