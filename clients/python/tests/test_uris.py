"""URI references by RFC 3986: what every SDK of CloudEvents takes for a source, and nothing else."""
import pytest

from admin_client import EventRefused, Settings
from admin_client.events import make_event
from admin_client.uris import is_uri, is_uri_reference

URIS = ["https://ff.example/eu-1", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "mailto:ann@example.com", "http://[2001:db8::7]:80/c=GB?one#two", "http://[v7.a:b]/", "a:", "file:///x", "x://u:p@h:1/%20?a/b?c#d/?",
        "http://\x41.example/'()*!$&,;="]
RELATIVE = ["/ff/eu-1", "ff", "./a:b", "a/b:c", "//host/x", "?x", "#y", "..", "/", "/ff/%C3%BC", "1-555-123-4567"]
NONE = ["ff eu 1", ":x", "/ff/%zz", "/ff/%4", "/ff\n", "\n/ff", "/ff/{id}", "/ff/\u00fc", "1a:b", "a b:c", "/ff\\x", "/ff|x", "/ff^", "/ff`", '/"', "/<>", "http://[::1", "http://[::g]/", "http://[fe80::1%25eth0]/", "http://h:8x/",
        "x#a#b", "http://a[b]/", "\x7f", "/a\x00"]


@pytest.mark.parametrize("text", URIS + RELATIVE)
def test_what_is_one(text):
    assert is_uri_reference(text) and is_uri(text) == (text in URIS)


@pytest.mark.parametrize("text", NONE)
def test_what_is_none(text):
    assert not is_uri_reference(text)
    with pytest.raises(ValueError, match="source"):
        Settings(dsn="postgresql:///", source=text, spool="x")
    with pytest.raises(EventRefused, match="source"):
        make_event(text, "t", None)


def test_a_long_text_is_looked_at_once():
    assert is_uri_reference("/" + "a/" * 100_000) and not is_uri_reference("/" + "a/" * 100_000 + "{") and not is_uri_reference("a" * 200_000 + " ")
