-- ---------------------------------------------------------------------------
-- Creates the triggers of this extension's tables.
-- ---------------------------------------------------------------------------

do $$
begin
    perform admin_internal.attach_bookkeeping(t) from unnest('{admin.import_run, admin.parity_run, admin.shadow_check, admin.shadow_settled}'::regclass[]) as t;
    perform admin_internal.attach_load_order('admin.shadow_settled');
end
$$;
