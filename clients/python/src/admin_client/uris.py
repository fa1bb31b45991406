"""URIs by RFC 3986, its grammar in full: what a reader of CloudEvents by the SDKs of Java, Go or JavaScript takes for one."""
import ipaddress
import re

_HEX = "%[0-9A-Fa-f]{2}"
_UNRESERVED, _SUB_DELIMS = r"A-Za-z0-9\-._~", r"!$&'()*+,;="
_PCHAR = rf"(?:[{_UNRESERVED}{_SUB_DELIMS}:@]|{_HEX})"
_SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)"
_AUTHORITY = rf"(?:(?:[{_UNRESERVED}{_SUB_DELIMS}:]|{_HEX})*@)?(?:\[(?P<literal>[^\]\[]*)\]|(?:[{_UNRESERVED}{_SUB_DELIMS}]|{_HEX})*)(?::[0-9]*)?"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_ROOTED = rf"//{_AUTHORITY}(?:/{_PCHAR}*)*|/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?"
_URI = re.compile(rf"{_SCHEME}:(?:{_ROOTED}|{_PCHAR}+(?:/{_PCHAR}*)*|){_TAIL}")
# The first segment of a relative path has no colon: what stands before it would be a scheme.
_RELATIVE = re.compile(rf"(?:{_ROOTED}|(?:(?!:){_PCHAR})+(?:/{_PCHAR}*)*|){_TAIL}")
_FUTURE = re.compile(rf"[vV][0-9A-Fa-f]+\.[{_UNRESERVED}{_SUB_DELIMS}:]+")


def is_uri(text: str) -> bool:
    """A URI with a scheme (RFC 3986, section 3)."""
    return _matches(_URI, text)


def is_uri_reference(text: str) -> bool:
    """A URI, or a relative reference (RFC 3986, section 4.1)."""
    return _matches(_URI, text) or _matches(_RELATIVE, text)


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    found = pattern.fullmatch(text)
    return found is not None and _is_literal(found["literal"])


def _is_literal(address: str | None) -> bool:
    """What stands between brackets: an address of IPv6, or of a version to come.  None: nothing does."""
    if address is None or _FUTURE.fullmatch(address):
        return True
    try:
        return "%" not in address and ipaddress.IPv6Address(address) is not None
    except ValueError:
        return False
