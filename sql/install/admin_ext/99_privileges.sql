-- ---------------------------------------------------------------------------
-- The last statement of the script: revokes everything that default privileges have given.
-- ---------------------------------------------------------------------------

do $$
begin
    perform admin_internal.revoke_foreign_privileges();
end
$$;
