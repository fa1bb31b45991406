-- ---------------------------------------------------------------------------
-- The last statement of the script: whatever default privileges have given goes.
-- ---------------------------------------------------------------------------

do $$
begin
    perform admin_internal.revoke_foreign_privileges();
end
$$;
