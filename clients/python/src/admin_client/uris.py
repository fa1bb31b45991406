"""Accepts the URIs of RFC 3986 that every reader accepts, by the same rules as the extension's src/uri.c.

A few rare forms of the RFC are refused, because widely used libraries fail on them or change them. `audit_ingest`
refuses them, so the client does, too:

- a scheme with capital letters
- a scheme or "//" that nothing follows
- an empty fragment
- a host with percent-encoded characters or of a future IP version
- a port of more than five digits
- a user name with percent-encoded characters or one of ! ' ( ) *
"""

import ipaddress
import re

_HEX = "%[0-9A-Fa-f]{2}"
_UNRESERVED, _SUB_DELIMS = r"A-Za-z0-9\-._~", r"!$&'()*+,;="
_NAME = rf"[{_UNRESERVED}$&+,;=]*"
_CHARACTER = rf"[{_UNRESERVED}{_SUB_DELIMS}/:@]|{_HEX}"
_SCHEME = r"[a-z][a-z0-9+.\-]*:"
_AUTHORITY = rf"(?:{_NAME}(?::{_NAME})?@)?(?:\[(?P<literal>[^\]\[]*)\]|[{_UNRESERVED}{_SUB_DELIMS}]*)(?::[0-9]{{0,5}})?"
# "//" is followed by a host or a path; and something precedes the query, or there is no query.
_HIERARCHICAL = (
    rf"(?://(?![?#]|\Z){_AUTHORITY}(?:/(?:{_CHARACTER})*)?|(?!//|#|\Z)(?:{_CHARACTER})*)(?:\?(?:{_CHARACTER}|\?)*)?"
)
_FRAGMENT = rf"#(?:{_CHARACTER}|\?)+"
_ABSOLUTE = re.compile(rf"{_SCHEME}{_HIERARCHICAL}")
# The first segment of a relative path has no colon: what stands before it would be a scheme.
_REFERENCE = re.compile(rf"(?:(?:{_SCHEME}|(?![^:/?#]*:)){_HIERARCHICAL})?(?:{_FRAGMENT})?")


def is_uri(text: str) -> bool:
    """Returns whether the text is an absolute URI: with a scheme, without a fragment (RFC 3986, section 4.3)."""
    return _matches(_ABSOLUTE, text)


def is_uri_reference(text: str) -> bool:
    """Returns whether the text is a URI or a non-empty relative reference (RFC 3986, section 4.1)."""
    return text != "" and _matches(_REFERENCE, text)


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    found = pattern.fullmatch(text)
    return found is not None and (found["literal"] is None or _is_address(found["literal"]))


def _is_address(literal: str) -> bool:
    """Returns whether the text between brackets is an IPv6 address without a zone."""
    try:
        return "%" not in literal and ipaddress.IPv6Address(literal) is not None
    except ValueError:
        return False
