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
'Issues an approval, pending, on behalf of the subject of the token. Without approval_id one is generated. Issuing the very same again by the same person changes nothing and answers "already": true. Returns {"approval_id", "requested_by", "sla_deadline", "state", "signature_count", "required_signer_count", "ttl_state", "valid_until", "verified", "already"}. Raises 28000 for a token that is missing or refused, 22023 for a bad argument or a deadline that is not ahead, 23505 for an id that another approval has.';

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
'Signs an approval in a role, as the subject of the token, who has to hold it. Signing again by the same person in the same role, with the same comment, changes nothing and answers "already": true. expected_digest is admin.approval_digest() of what the signer saw: the approval is not signed when it has another one by now. Returns {"approval_id", "signer_role", "signer", "signature_id", "signed_at", "state", "signature_count", "required_signer_count", "ttl_state", "valid_until", "verified", "already"}. Raises P0002 for an unknown approval, 28000 for a token that is missing or refused, 22023 for a role that is not required or another digest than the expected one, 42501 for the requester or a role that is not held, 23505 for a role or person that has signed, 55000 for a withdrawn approval or a passed deadline.';

create function admin.withdraw_approval(
    approval_id text,
    reason      text,
    actor       text default null,
    token       text default null)
returns jsonb
as 'MODULE_PATHNAME', 'admin_withdraw_approval'
language c volatile parallel unsafe;

comment on function admin.withdraw_approval(text, text, text, text) is
'Withdraws an approval for good, as the subject of the token: its requester, one of its signers, or whose token names the role "operator". Withdrawing again by the same person for the same reason changes nothing and answers "already": true. Returns {"approval_id", "closed_by", "close_reason", "state", "signature_count", "required_signer_count", "ttl_state", "valid_until", "verified", "already"}. Raises P0002 for an unknown approval, 28000 for a token that is missing or refused, 22023 for a bad argument, 42501 for anybody else, 55000 when it was withdrawn by somebody else or for another reason.';
