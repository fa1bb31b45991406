-- ---------------------------------------------------------------------------
-- The workflow: people issue, sign and withdraw.
-- ---------------------------------------------------------------------------

create function admin.issue_approval(
    action         text,
    required_roles text[],
    sla_deadline   timestamptz,
    resource       text default null,
    approval_id    text default null,
    requested_by   text default null,
    token          text default null)
returns jsonb
as 'MODULE_PATHNAME', 'admin_issue_approval'
language c volatile parallel unsafe;

comment on function admin.issue_approval(text, text[], timestamptz, text, text, text, text) is
'Issues an approval, with state pending, on behalf of the subject of the token. Without approval_id the function generates one. If the same person issues the same approval again, the call changes nothing and returns "already": true. Returns {"approval_id", "requested_by", "sla_deadline", "state", "signature_count", "required_signer_count", "ttl_state", "valid_until", "verified", "already"}. Raises 28000 for a missing or refused token, 22023 for a bad argument or a deadline that is not in the future, 23505 for an id of another approval. Raises 55000 while admin_ext.restoring is on.';

create function admin.sign_approval(
    approval_id     text,
    signer_role     text,
    signer          text default null,
    comment         text default null,
    token           text default null,
    expected_digest bytea default null)
returns jsonb
as 'MODULE_PATHNAME', 'admin_sign_approval'
language c volatile parallel unsafe;

comment on function admin.sign_approval(text, text, text, text, text, bytea) is
'Signs an approval in a role, as the subject of the token, who must hold the role. If the same person signs again in the same role, with the same comment, the call changes nothing and returns "already": true. expected_digest is the admin.approval_digest() of the approval that the signer saw. The call does not sign if the digest has changed since. Returns {"approval_id", "signer_role", "signer", "signature_id", "signed_at", "state", "signature_count", "required_signer_count", "ttl_state", "valid_until", "verified", "already"}. Raises P0002 for an unknown approval. Raises 28000 for a missing or refused token. Raises 22023 for a role that is not required, or a digest other than the expected one. Raises 42501 for the requester, or a role that the signer does not hold. Raises 23505 for a role or person that has signed. Raises 55000 for a withdrawn approval, for a passed deadline, and while admin_ext.restoring is on.';

create function admin.withdraw_approval(
    approval_id text,
    reason      text,
    actor       text default null,
    token       text default null)
returns jsonb
as 'MODULE_PATHNAME', 'admin_withdraw_approval'
language c volatile parallel unsafe;

comment on function admin.withdraw_approval(text, text, text, text) is
'Withdraws an approval permanently, as the subject of the token. This must be the requester, one of the signers, or a person whose token names the role "operator". If the same person withdraws again for the same reason, the call changes nothing and returns "already": true. Returns {"approval_id", "closed_by", "close_reason", "state", "signature_count", "required_signer_count", "ttl_state", "valid_until", "verified", "already"}. Raises P0002 for an unknown approval, 28000 for a missing or refused token, 22023 for a bad argument, 42501 for any other person, 55000 if another person has withdrawn it, or for another reason. Raises 55000 while admin_ext.restoring is on.';
