"""What the tests of the web app share: tokens of people, the app in this process, and calls of it."""

import contextlib
import json
import time

import httpx
from admin_client.app import create_app
from admin_client.web.settings import AppSettings
from harness import POOLER, SCRATCH, numbers, sql
from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER, AUDIENCE = "https://idp.test", "https://admin.test"
KEY = ECKey.generate_key("P-256", {"kid": "web-1", "alg": "ES256", "use": "sig"})
APP_PATHS = {
    "direct": f"postgresql://web@/postgres?host={SCRATCH}",
    "pooled": f"postgresql://web@/postgres?host={POOLER}&port=6432",
}
APPROVALS, CHECK = "/api/policy/approvals", "/api/policy/sensitive-check"


def set_up():
    """The issuer, its key, and the role of the app; once is enough."""
    sql("select admin.add_jwt_issuer(%s, %s)", ISSUER, AUDIENCE)
    if not sql(
        "select exists (select from admin.jwt_key where issuer = %s)", ISSUER
    ):  # else an earlier module has set it up
        sql("select admin.import_jwks(%s, %s::jsonb)", ISSUER, json.dumps({"keys": [KEY.as_dict(private=False)]}))
    sql(
        "do $$ begin if not exists (select from pg_roles where rolname = 'web') then create role web login; end if; end $$"
    )
    for access in ("checker", "signer", "auditor"):
        sql("select admin.grant_access('web', %s)", access)
    sql("select admin.grant_access('web', 'checker', '/web/')")


def token(subject="ann", *roles, expires=3600, key=KEY, **claims):
    """A token of somebody in roles."""
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "roles": list(roles),
        "exp": int(time.time()) + expires,
        **claims,
    }
    return jwt.encode({"alg": "ES256", "kid": "web-1", "typ": "JWT"}, told, key)


def as_person(subject="ann", *roles, **more):
    return {"Authorization": f"Bearer {token(subject, *roles, **more)}"}


def as_reader():
    """Eve, who may look at approvals."""
    return as_person("eve", "reader")


@contextlib.asynccontextmanager
async def served(path="direct", **settings):
    """A client of the app, which runs in this process."""
    app = create_app(
        AppSettings(
            **{"dsn": APP_PATHS.get(path, path), "pooler": path == "pooled", "reader_role": "reader", **settings}
        )
    )
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin.test", timeout=30) as client:
            client.app = app
            yield client


def new_id():
    return f"APP-{next(numbers) % 1_000_000:06d}-web"


def order(**members):
    """The body that issues an approval."""
    return {
        "action": "pay",
        "resource": "account 7",
        "required_roles": ["r"],
        "sla_deadline": "2100-01-01T00:00:00Z",
        **members,
    }


async def issued(client, **members):
    """The id of a new approval that boss has asked for."""
    response = await client.post(APPROVALS, json=order(approval_id=new_id(), **members), headers=as_person("boss"))
    assert response.status_code == 201, response.text
    return response.json()["approval_id"]


def problem(response, status, *words, sqlstate=None):
    """It is a problem document of this status that says this."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == status and told["type"] == "about:blank" and told["title"]
    assert all(word in json.dumps(told) for word in words), told
    if sqlstate:
        assert told["sqlstate"] == sqlstate
    if status == 401:
        assert response.headers["www-authenticate"].startswith('Bearer realm="admin"')
    if status == 503:
        assert response.headers["retry-after"] == "1"
    return told
