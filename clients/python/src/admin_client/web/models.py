"""What requests and answers look like.  Limits are the database's own (interface and tables), and are in bytes where it counts bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Path
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..names import check_name
from .problems import unauthorized

ID_PATTERN = "^APP-[0-9]{6}-[a-z0-9]+$"
TRACEPARENT_PATTERN = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
INSTANT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
NO_NUL = r"^[^\x00]*$"  # what text of PostgreSQL cannot hold
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"  # what names something is shown on one line
STATES = Literal["pending", "signed_partial", "signed_full", "withdrawn"]
TTL_STATES = Literal["valid", "expired", "stale", "not-applicable"]


def at_most(limit: int) -> AfterValidator:
    """Counts bytes of UTF-8, as the database does."""

    def check(value: str) -> str:
        if (length := len(value.encode())) > limit:
            raise ValueError(f"it has {length} bytes; at most {limit} are allowed")
        return value

    return AfterValidator(check)


def to_instant(value: Any) -> Any:
    """RFC 3339, with its zone; in UTC, in the years 1 to 9999."""
    if not isinstance(value, str):
        raise ValueError("it is no string")
    parsed = datetime.fromisoformat(value)
    if parsed.tzinfo is None:
        raise ValueError("it names no zone")
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is not in the years 1 to 9999") from None


def written(instant: datetime | None) -> str | None:
    """For the database, as text: asyncpg takes the first and the last instant of datetime for infinities."""
    return None if instant is None else instant.isoformat()


ApprovalId = Annotated[str, Field(pattern=ID_PATTERN, max_length=64)]
PathId = Annotated[str, Path(pattern=ID_PATTERN, max_length=64, description="The approval.")]
Instant = Annotated[
    datetime,
    BeforeValidator(
        to_instant,
        json_schema_input_type=Annotated[
            str, Field(pattern=INSTANT_PATTERN, json_schema_extra={"format": "date-time"})
        ],
    ),
]
Role = Annotated[str, Field(min_length=1, max_length=128, pattern=ONE_LINE), at_most(128)]
Person = Annotated[str, Field(min_length=1, max_length=256, pattern=ONE_LINE), at_most(256), AfterValidator(check_name)]
Action = Annotated[str, Field(min_length=1, max_length=256, pattern=ONE_LINE), at_most(256)]
Resource = Annotated[str, Field(min_length=1, max_length=2048, pattern=ONE_LINE), at_most(2048)]
Reason = Annotated[str, Field(min_length=1, max_length=4096, pattern=NO_NUL), at_most(4096)]
Comment = Annotated[str, Field(max_length=4096, pattern=NO_NUL), at_most(4096)]
# What a check is asked may be anything: it is denied where it fits no approval.
AskedId = Annotated[str, Field(max_length=65536, pattern=NO_NUL), at_most(65536)]
AskedAction = Annotated[str, Field(max_length=256, pattern=NO_NUL), at_most(256)]
AskedResource = Annotated[str, Field(max_length=2048, pattern=NO_NUL), at_most(2048)]


class Strict(BaseModel):
    """Nothing that is not named, and nothing taken for something else."""

    model_config = ConfigDict(extra="forbid", strict=True)


class IssueRequest(Strict):
    """A new approval; its requester is the subject of the token."""

    action: Action
    required_roles: Annotated[
        list[Role],
        Field(min_length=1, max_length=8, json_schema_extra={"uniqueItems": True}),
        AfterValidator(lambda roles: distinct(roles)),
    ]
    sla_deadline: Annotated[Instant, Field(strict=False)]
    resource: Resource | None = None
    approval_id: ApprovalId | None = Field(default=None, description="Made by the database where it is left out.")


class SignRequest(Strict):
    """A signature; the signer is the subject of the token, and has to hold the role."""

    signer_role: Role
    comment: Comment | None = None


class WithdrawRequest(Strict):
    """A withdrawal, for good."""

    reason: Reason


class CheckRequest(Strict):
    """Does the approval cover this action on this resource?  What is left out, or null, is not compared."""

    approval_id: AskedId | None = Field(description="An id against the grammar is denied, not refused.")
    action: AskedAction | None = None
    resource: AskedResource | None = None
    request_id: AskedAction | None = None
    traceparent: Annotated[str, Field(pattern=TRACEPARENT_PATTERN)] | None = Field(
        default=None, description="W3C Trace Context."
    )


class PreviewRequest(Strict):
    """The same without a row in the trail, for any instant; now where none is named."""

    approval_id: AskedId | None
    action: AskedAction | None = None
    resource: AskedResource | None = None
    at: Annotated[Instant, Field(strict=False)] | None = None


# Without tokens people are named in the request.
class PlainIssueRequest(IssueRequest):
    requested_by: Person


class PlainSignRequest(SignRequest):
    signer: Person


class PlainWithdrawRequest(WithdrawRequest):
    actor: Person


class PlainCheckRequest(CheckRequest):
    actor: Person | None = None


class ListQuery(BaseModel):
    """A page of approvals, in the order of their ids."""

    model_config = ConfigDict(extra="forbid")
    state: STATES | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    after: ApprovalId | None = Field(default=None, description='The last id of the page before: its "next".')


class Signature(BaseModel):
    signature_id: str
    signer_role: str
    signer: str
    signed_at: str
    approval_digest: str = Field(description="SHA-256 of what was signed, in hexadecimal digits.")
    token_issuer: str | None
    token_key_id: str | None
    comment: str | None


class Approval(BaseModel):
    approval_id: str
    action: str
    resource: str | None
    required_roles: list[str]
    required_signer_count: int
    requested_by: str
    state: STATES
    ttl_state: TTL_STATES
    valid_until: str | None
    sla_deadline: str
    created_at: str
    updated_at: str
    closed_at: str | None
    closed_by: str | None
    close_reason: str | None
    signatures: list[Signature]


class Page(BaseModel):
    approvals: list[Approval]
    next: str | None = Field(description='What to name as "after" for the next page; null on the last one.')


class Step(BaseModel):
    """What issuing, signing and withdrawing answer."""

    model_config = ConfigDict(extra="allow")
    approval_id: str
    state: STATES
    signature_count: int
    required_signer_count: int
    ttl_state: TTL_STATES
    valid_until: str | None
    verified: bool = Field(description="By a token.")
    already: bool = Field(description="It had been done before, and nothing was changed.")


class Meta(BaseModel):
    operator_alert: bool
    precedence: int
    requestable: bool


class Recorded(BaseModel):
    event_type: str
    audit_id: str | None
    sink_status: Literal["pending", "deferred"]


class Answer(BaseModel):
    """Contract sensitive.check.2b."""

    contract: Literal["sensitive.check.2b"]
    approval_id: str | None
    decision: Literal["valid", "deny"]
    reason: str | None
    state: STATES | Literal["unknown"] | None
    ttl_state: TTL_STATES | None
    required_signer_count: int | None
    signature_count: int | None
    valid_until: str | None
    evaluated_at: str
    meta: Meta
    audit: Recorded


class RejectedEvent(BaseModel):
    index: int
    id: str | None
    error: str


class Ingested(BaseModel):
    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]


class ReadinessItem(BaseModel):
    item: str
    area: str
    title: str
    status: Literal["pass", "fail", "not_configured"]
    detail: str | None


class ReadinessReport(BaseModel):
    ready: bool = Field(description="Nothing fails. What is not configured is for a person to say.")
    counts: dict[str, int]
    items: list[ReadinessItem]


def distinct(roles: list[str]) -> list[str]:
    if len(set(roles)) < len(roles):
        raise ValueError("a role is named twice")
    return roles


bearer = HTTPBearer(
    auto_error=False, description="A JSON Web Token of an issuer that the database trusts (RFC 6750, RFC 7519)."
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


def required_token(credentials: Credentials) -> str:
    """The bearer token; the database verifies it."""
    if credentials is None:
        raise unauthorized(None, "A bearer token is needed.")
    if "\x00" in credentials.credentials:
        raise unauthorized("invalid_token", "The token is malformed.")
    return credentials.credentials


def optional_token(credentials: Credentials) -> str | None:
    return None if credentials is None else required_token(credentials)
