"""Checks names of people as the database takes them from a token: a name that looks like another one is refused.

The rules are those of admin_ext (doc/identity.md, "Look-alikes"): the PRECIS profile UsernameCasePreserved (RFC 8264
and RFC 8265), but with blanks and symbols allowed.
"""

import bisect
import unicodedata

# As src/identity/invisible.c has them: control and format characters, blanks, characters without a glyph, full-width forms of ASCII.
INVISIBLE = (
    (0x0000, 0x001F),
    (0x007F, 0x00A0),
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFF01, 0xFF5E),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0xFFFE, 0xFFFF),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
FIRST = [first for first, _ in INVISIBLE]


def is_invisible(character: str) -> bool:
    """Returns whether a reader does not see the character, or sees it as another one."""
    point = ord(character)
    place = bisect.bisect_right(FIRST, point) - 1
    return point & 0xFFFE == 0xFFFE or 0xD800 <= point <= 0xDFFF or (place >= 0 and point <= INVISIBLE[place][1])


def check_name(name: str) -> str:
    """Returns the name. Raises ValueError if it looks like another name."""
    if name != name.strip(" "):
        raise ValueError("it begins or ends with a blank")
    for character in name:
        if is_invisible(character):
            raise ValueError(f"it holds U+{ord(character):04X}, which cannot be seen, or looks like another character")
    if unicodedata.normalize("NFKC", name) != name:
        raise ValueError("it is not its own form NFKC, so it looks like another name")
    return name
