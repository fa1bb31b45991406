-- ---------------------------------------------------------------------------
-- Creates the triggers of the bookkeeping tables.
-- ---------------------------------------------------------------------------

do $$
declare
    relation regclass;
begin
    foreach relation in array array['admin.store', 'admin.tick', 'admin.sink_position', 'admin.sink_skipped', 'admin_internal.delivery_link',
                                    'admin.dead_letter', 'admin.dead_letter_retry', 'admin.jwt_used', 'admin.ingest_source', 'admin.ingest_gap',
                                    'admin.audit_dropped', 'admin.sweep_due',
                                    'admin.archive_receipt', 'admin_internal.archive_base', 'admin_internal.resync_record', 'admin_internal.late_delivery', 'admin_internal.reach_seen', 'admin_internal.setting_seen']
    loop
        perform admin_internal.attach_bookkeeping(relation);
    end loop;
end
$$;
