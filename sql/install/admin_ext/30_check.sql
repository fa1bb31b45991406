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
'Decides whether this approval covers an action on a resource (contract sensitive.check.2b). Returns valid, or deny with a reason, based on what is committed at this moment. Appends the answer to admin.audit in the same transaction, with what was asked: action, resource, and what identifies the token. There is no answer without its row. Raises 22023 for an argument over its limit, 28000 for a token that cannot be verified, 25006 in a read-only transaction.';

create function admin.sensitive_check_preview(
    approval_id text,
    action      text default null,
    resource    text default null,
    at          timestamptz default null)
returns json
as 'MODULE_PATHNAME', 'admin_sensitive_check_preview'
language c stable parallel safe;

comment on function admin.sensitive_check_preview(text, text, text, timestamptz) is
'Returns the same answer as admin.sensitive_check(), with sink_status deferred, based on the snapshot of the statement. It writes nothing, so it works in read-only transactions and on a hot standby. "at" is the instant of the evaluation; null means now. Raises 22023 for an argument over its limit or an infinite instant.';

create function admin.explain_check(
    approval_id text,
    action      text default null,
    resource    text default null,
    at          timestamptz default null)
returns table (precedence int, rule text, matched boolean, detail text)
as 'MODULE_PATHNAME', 'admin_explain_check'
language c stable parallel safe;

comment on function admin.explain_check(text, text, text, timestamptz) is
'Returns all ten rules of the decision in order of precedence. "matched" is true for the rule that decides: the first one whose condition holds. "detail" says what each rule looked at, and for later rules whether they would hold too.';

create function admin.replay_check(audit_id bigint)
returns jsonb
as 'MODULE_PATHNAME', 'admin_replay_check'
language c stable strict parallel unsafe;

comment on function admin.replay_check(bigint) is
'Decides a recorded check again, as of its evaluated_at and from the audit trail alone. Returns {"recorded", "replayed", "equal"}; "equal" is true if the answers are the same byte for byte. The replay uses the recorded action and resource, which "request" shows. A row from before requests were recorded has no "request"; a mismatch in its answer is taken as a fact. "in_flight" is present if the answer follows only without the last rows before the check. These rows may not have committed when the check looked, and no earlier check has seen them. "in_flight" is the first audit_id left out. Raises P0002 if there is no such check, 55000 if the trail does not reach back far enough.';

create function admin.explain_replay(audit_id bigint)
returns table (precedence int, rule text, matched boolean, detail text)
as 'MODULE_PATHNAME', 'admin_explain_replay'
language c stable strict parallel unsafe;

comment on function admin.explain_replay(bigint) is
'Like admin.explain_check(), for a recorded check and from the audit trail alone. Raises the same errors as admin.replay_check().';
