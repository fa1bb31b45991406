"""What the identity suite's files share: an issuer of tokens of another make, and what session has."""

import base64
import json
import time
import warnings

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey
from session import connect, done, error, ok, one, poll, rows  # noqa: F401 -- handed on

warnings.filterwarnings("ignore")  # joserfc finds EdDSA's name outdated (RFC 9864)
ISSUER, AUDIENCE = "https://idp.example/realm", "https://admin.example"
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def new_key(algorithm, bits=2048):
    if algorithm[:2] in ("RS", "PS"):
        return RSAKey.generate_key(bits)
    if algorithm[:2] == "ES":
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm])
    return OKPKey.generate_key("Ed25519")


def public(key, algorithm, kid, **members):
    return {**key.as_dict(private=False), "kid": kid, "alg": algorithm, "use": "sig", **members}


def sign(header, payload, key, algorithm=None):
    """Any bytes as payload, any header that names an algorithm the library knows."""
    algorithm = algorithm or header["alg"]
    signed = jws.serialize_compact({"alg": algorithm}, payload, key, algorithms=[algorithm])
    if header == {"alg": algorithm}:
        return signed
    return sign_text(json.dumps(header), payload, key, algorithm)


def sign_text(header, payload, key, algorithm):
    """The header as text, to the letter: the library's algorithm signs what its own words would not say."""
    model = jws.JWSRegistry(algorithms=[algorithm]).get_alg(algorithm)
    payload = payload if isinstance(payload, bytes) else payload.encode()
    signing_input = f"{b64(header)}.{b64(payload)}".encode()
    return f"{signing_input.decode()}.{b64(model.sign(signing_input, key))}"


def claims(**changes):
    """Good claims, with changes; a claim that is changed to None is left out."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "roles": ["finance"], "iat": now, "exp": now + 600}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


class Issuer:
    """An issuer that the database trusts, with a key for each algorithm."""

    def __init__(self, connection, issuer=ISSUER):
        self.issuer, self.keys = issuer, {algorithm: new_key(algorithm) for algorithm in ALGORITHMS}
        one(connection, "select admin.add_jwt_issuer(%s, %s)", issuer, AUDIENCE)
        one(
            connection,
            "select admin.import_jwks(%s, %s)",
            issuer,
            json.dumps({"keys": [public(key, name, name) for name, key in self.keys.items()]}),
        )

    def token(self, subject="ann", roles=("finance",), algorithm="ES256", **changes):
        payload = json.dumps(claims(iss=self.issuer, sub=subject, roles=list(roles), **changes))
        return sign_text(
            json.dumps({"alg": algorithm, "kid": algorithm, "typ": "JWT"}), payload, self.keys[algorithm], algorithm
        )
