-- ---------------------------------------------------------------------------
-- The triggers of the tables that the extension keeps its books in.
-- ---------------------------------------------------------------------------

do $$
declare
    relation text;
begin
    foreach relation in array array['admin.store', 'admin.tick', 'admin.sink_position', 'admin.sink_skipped', 'admin_internal.delivery_link',
                                    'admin.dead_letter', 'admin.dead_letter_retry', 'admin.jwt_used', 'admin.ingest_source', 'admin.ingest_gap',
                                    'admin.audit_dropped', 'admin.import_run', 'admin.parity_run', 'admin.shadow_check', 'admin.shadow_settled', 'admin.sweep_due',
                                    'admin.archive_receipt', 'admin_internal.archive_base', 'admin_internal.resync_record', 'admin_internal.late_delivery', 'admin_internal.reach_seen', 'admin_internal.setting_seen']
    loop
        execute format('create trigger bookkeeping after insert or update or delete on %s for each row execute function admin_internal.bookkeeping()', relation);
        execute format('create trigger bookkeeping_truncate after truncate on %s for each statement execute function admin_internal.bookkeeping()', relation);
        execute format('alter table %s enable always trigger bookkeeping, enable always trigger bookkeeping_truncate', relation);
        execute format('comment on trigger bookkeeping on %s is %L', relation, 'Notes the rows of a dump, and changes by hand.');
        execute format('comment on trigger bookkeeping_truncate on %s is %L', relation, 'Appends row.truncated to the trail.');
    end loop;
end
$$;
