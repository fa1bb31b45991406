-- ---------------------------------------------------------------------------
-- The default partition.  It goes into dumps as the months do, so it is no member of the
-- extension.  A load of such a dump brings it.
-- ---------------------------------------------------------------------------

do $$
begin
    if current_setting('admin_ext.restoring', true) is distinct from 'on' then
        perform admin_internal.attach_default();
        alter extension admin_ext drop table admin.audit_default;
    end if;
end
$$;
