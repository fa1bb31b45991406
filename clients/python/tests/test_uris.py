"""URI references by RFC 3986: what every SDK of CloudEvents takes for a source, and nothing else."""

import ctypes
import os
import pathlib
import random
import shlex
import subprocess

import pytest
from admin_client import EventRefused, Settings
from admin_client.events import make_event
from admin_client.uris import is_uri, is_uri_reference

ROOT = pathlib.Path(__file__).resolve().parents[3]
URIS = [
    "https://ff.example/eu-1",
    "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
    "mailto:ann@example.com",
    "http://[2001:db8::7]:80/c=GB?one",
    "a:/",
    "file:///x",
    "x://u:p@h:1/%20?a/b?c",
    "http://\x41.example/'()*!$&,;=",
]
# With a fragment no URI is absolute.
RELATIVE = [
    "http://[2001:db8::7]:80/c=GB?one#two",
    "x://u:p@h:1/%20?a/b?c#d/?",
    "/ff/eu-1",
    "ff",
    "./a:b",
    "a/b:c",
    "//host/x",
    "?x",
    "#y",
    "..",
    "/",
    "/ff/%C3%BC",
    "1-555-123-4567",
]
NONE = [
    "ff eu 1",
    ":x",
    "/ff/%zz",
    "/ff/%4",
    "/ff\n",
    "\n/ff",
    "/ff/{id}",
    "/ff/\u00fc",
    "1a:b",
    "a b:c",
    "/ff\\x",
    "/ff|x",
    "/ff^",
    "/ff`",
    '/"',
    "/<>",
    "http://[::1",
    "http://[::g]/",
    "http://[fe80::1%25eth0]/",
    "http://h:8x/",
    "x#a#b",
    "http://a[b]/",
    "\x7f",
    "/a\x00",
    "",
    "http://[v7.a:b]/",
    "a:",
    "X:y",
    "//",
    "x://",
    "x://?q",
    "/a#",
    "x://a%20b/",
    "x://h:123456/",
    "x://a%20b@h/",
    "x://it's@h/",
    "x:#f",
]


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
    assert (
        is_uri_reference("/" + "a/" * 100_000)
        and not is_uri_reference("/" + "a/" * 100_000 + "{")
        and not is_uri_reference("a" * 200_000 + " ")
    )


PIECES = [
    "a",
    "x",
    "Z",
    "0",
    "1",
    "25",
    "255",
    "256",
    "ffff",
    ":",
    ":",
    "::",
    "/",
    "/",
    "//",
    "?",
    "#",
    "@",
    "[",
    "]",
    "[::1]",
    "[1:2:3:4:5:6:7:8]",
    ".",
    "1.2.3.4",
    "%",
    "%2",
    "%20",
    "%zZ",
    "-",
    "_",
    "~",
    "!",
    "$",
    "&",
    "'",
    "(",
    ")",
    "*",
    "+",
    ",",
    ";",
    "=",
    "{",
    "|",
    "\\",
    "^",
    "`",
    "<",
    '"',
    " ",
    "\n",
    "\t",
    "\x00",
    "\x7f",
    "\u00fc",
    "x:",
    "x://",
    "http://h",
    "urn:",
    "v1.x",
    "[v1.x]",
    "99999",
    "123456",
]


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    """The extension's own judgement."""
    library = tmp_path_factory.mktemp("uri") / "uri.so"
    subprocess.run(
        [
            *shlex.split(os.environ.get("CC", "cc")),
            "-shared",
            "-fPIC",
            "-O1",
            f"-I{ROOT}/src",
            "-o",
            library,
            ROOT / "src/uri.c",
        ],
        check=True,
    )
    loaded = ctypes.CDLL(str(library))
    for function in (loaded.uri_is_reference, loaded.uri_is_absolute):
        function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_size_t), ctypes.c_bool
    return loaded


def test_client_and_extension_agree(extension):
    """What the client sends is not refused, and what the extension takes the client lets through."""
    chance = random.Random(11)
    texts = [
        *URIS,
        *RELATIVE,
        *NONE,
        *("".join(chance.choices(PIECES, k=chance.randint(1, 9))) for _ in range(200_000)),
    ]
    counts = [0, 0]
    for text in texts:
        encoded = text.encode()
        judged = extension.uri_is_reference(encoded, len(encoded)), extension.uri_is_absolute(encoded, len(encoded))
        assert (is_uri_reference(text), is_uri(text)) == judged, text
        counts = [count + one for count, one in zip(counts, judged, strict=True)]
    assert min(counts) > 1000, "the corpus has many of each kind"
