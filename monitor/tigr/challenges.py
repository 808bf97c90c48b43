"""Parser of `WWW-Authenticate` (RFC 9110 section 11.6.1). Its time is proportional to the length of the header."""

from __future__ import annotations

import re

# Matches a quoted string that belongs to no parameter, or a name and its value if it has one. A name without a value is
# the scheme that starts a challenge. No alternative fails after a repeated part, so no character is scanned twice.
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"?'
_PART = re.compile(rf"{_QUOTED}|([\w!#$%&'*+.^`|~-]+)(?:[ \t]*=[ \t]*(?:{_QUOTED}|([^\s\",]*)))?", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


def parse_challenges(header: str) -> list[dict[str, str]]:
    """Return the parameters of each challenge, names in lower case. If a name is repeated, the first value counts.

    If the header field occurs twice, `header` holds its values joined by ", ". Never raises.
    """
    challenges: list[dict[str, str]] = []
    for part in _PART.finditer(header):
        _, name, quoted, token = part.groups()
        if name is None:
            continue
        if quoted is None and token is None:
            challenges.append({})
            continue
        if not challenges:
            challenges.append({})
        value = token if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        challenges[-1].setdefault(name.lower(), value)
    return challenges
