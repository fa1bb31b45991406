-- ---------------------------------------------------------------------------
-- What pg_dump includes: every table of this extension.
-- ---------------------------------------------------------------------------

select pg_catalog.pg_extension_config_dump('admin.import_run', '');
select pg_catalog.pg_extension_config_dump('admin.import_run_run_id_seq', '');
select pg_catalog.pg_extension_config_dump('admin.parity_run', '');
select pg_catalog.pg_extension_config_dump('admin.parity_run_run_id_seq', '');
select pg_catalog.pg_extension_config_dump('admin.shadow_check', '');
select pg_catalog.pg_extension_config_dump('admin.shadow_check_shadow_id_seq', '');
select pg_catalog.pg_extension_config_dump('admin.shadow_settled', '');
