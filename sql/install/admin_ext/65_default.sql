-- ---------------------------------------------------------------------------
-- The default partition.  It is dumped like the partitions of the months, so it is not a member of the
-- extension.  Loading such a dump creates it.
-- ---------------------------------------------------------------------------

do $$
begin
    if current_setting('admin_ext.restoring', true) is distinct from 'on' then
        perform admin_internal.attach_default();
        alter extension admin_ext drop table admin.audit_default;
    end if;
end
$$;
