-- ---------------------------------------------------------------------------
-- The decision: contract sensitive.check.2b.
-- ---------------------------------------------------------------------------

create function admin.sensitive_check(
    approval_id text,
    action      text default null,
    resource    text default null,
    actor       text default null,
    request_id  text default null,
    traceparent text default null,
    token       text default null)
returns json
as 'MODULE_PATHNAME', 'admin_sensitive_check'
language c volatile parallel unsafe;

comment on function admin.sensitive_check(text, text, text, text, text, text, text) is
'Does this approval cover an action on a resource? Answers valid, or deny with a reason (contract sensitive.check.2b), by what is committed at this moment, and appends the answer, with what was asked (action, resource, and what identifies the token), to admin.audit in the same transaction: there is no answer without its row. Raises 22023 for an argument over its limit, 28000 for a token that cannot be verified, 25006 in a read-only transaction.';

create function admin.sensitive_check_preview(
    approval_id text,
    action      text default null,
    resource    text default null,
    at          timestamptz default null)
returns json
as 'MODULE_PATHNAME', 'admin_sensitive_check_preview'
language c stable parallel safe;

comment on function admin.sensitive_check_preview(text, text, text, timestamptz) is
'The same answer with sink_status deferred, by the snapshot of the statement; writes nothing, so it works in read-only transactions and on a hot standby. "at" is the instant to evaluate at; null means now. Raises 22023 for an argument over its limit or an infinite instant.';

create function admin.explain_check(
    approval_id text,
    action      text default null,
    resource    text default null,
    at          timestamptz default null)
returns table (precedence int, rule text, matched boolean, detail text)
as 'MODULE_PATHNAME', 'admin_explain_check'
language c stable parallel safe;

comment on function admin.explain_check(text, text, text, timestamptz) is
'All ten rules of the decision in order of precedence. "matched" is true for the one that decides: the first whose condition holds; "detail" tells for each what was looked at, and of later rules whether they would hold too.';

create function admin.replay_check(audit_id bigint)
returns jsonb
as 'MODULE_PATHNAME', 'admin_replay_check'
language c stable strict parallel unsafe;

comment on function admin.replay_check(bigint) is
'A recorded check, decided again as of its evaluated_at from the audit trail alone: {"recorded", "replayed", "equal"}, equal when the answers are the same byte for byte. The check is replayed with the action and resource that were asked for; "request" shows them. A row from before requests were recorded has no "request": its mismatch is taken to have been one. "in_flight" is there when the answer is that of the trail without what may not have committed when the check looked, and no earlier check has seen: it names the first audit_id left out. Raises P0002 when there is no such check, 55000 when the trail does not reach back far enough.';

create function admin.explain_replay(audit_id bigint)
returns table (precedence int, rule text, matched boolean, detail text)
as 'MODULE_PATHNAME', 'admin_explain_replay'
language c stable strict parallel unsafe;

comment on function admin.explain_replay(bigint) is
'As admin.explain_check(), of a recorded check and from the audit trail alone. Raises as admin.replay_check().';
