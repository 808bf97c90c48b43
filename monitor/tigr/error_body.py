"""Parser of error response bodies in all known forms. No function raises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from monitor.tigr.markup import is_markup, title_and_text

MAX_SHOWN_ERRORS = 3  # items of one list
MAX_MARKUP = 4096  # characters of HTML or XML whose text is shown
Section = tuple[str | None, ...]  # parts of a message that belong together, such as a code and its description
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The parts of an error response body, not redacted yet."""

    codes: tuple[str, ...] = ()  # RFC 6749's `error`, then the `code` of each error of an ErrorContainer
    submission_id: str | None = None
    sections: tuple[Section, ...] = field(default=(), repr=False)
    markup: str = field(default="", repr=False)  # the source of the sections if the body is HTML or XML
    texts: tuple[str, ...] = field(
        default=(), repr=False
    )  # each string of the body; JSON escapes are resolved, markup is not


def parse_error_body(body: bytes) -> ErrorBody:
    """Return the parts of an error response body, which may hold any bytes."""
    value = _json_or_text(body)
    members = value if isinstance(value, dict) else {}
    codes = (_oauth_error(members)[0], *(_text(error.get("code")) for error in _container_errors(members)))
    return ErrorBody(
        codes=tuple(filter(None, codes)),
        submission_id=_text(members.get("submissionId")),
        sections=tuple(_sections(value)),
        markup=value if isinstance(value, str) and is_markup(value.strip()) else "",
        texts=tuple(_texts(value)),
    )


def join_sections(sections: Iterable[Section]) -> str:
    """Join parts with ": " and sections with "; ". Leave out a part whose text another part contains."""
    parts = [(number, part.strip()) for number, section in enumerate(sections) for part in section if part]
    normalized = [_normalized(part) for _, part in parts]
    lines: dict[int, list[str]] = {}
    for index, (number, part) in enumerate(parts):
        if part and not _is_repeated(index, normalized):
            lines.setdefault(number, []).append(part)
    return "; ".join(": ".join(line) for line in lines.values())


def _normalized(part: str) -> str:
    """Return `part` with one blank before, between and after its words, so that `in` ignores punctuation."""
    return f" {' '.join(_WORD.findall(part.casefold())) or part} "


def _is_repeated(index: int, texts: list[str]) -> bool:
    text = texts[index]
    return any(text in other and (text != other or position < index) for position, other in enumerate(texts))


def _json_or_text(body: bytes) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON value of `body`, else its text. Invalid UTF-8 is replaced; strings may contain raw line ends."""
    text = body.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return text


def _sections(value: Any) -> list[Section]:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return [title_and_text(value[:MAX_MARKUP]) if is_markup(value.strip()) else (value,)]
    known = _member_sections(value) if isinstance(value, dict) else []
    if any(part for section in known for part in section):
        return known
    return [(_compact(value),)] if value else []


def _member_sections(members: dict[str, Any]) -> list[Section]:
    """Return the texts of the members known to explain an error, in the order of display."""
    errors = _container_errors(members)[:MAX_SHOWN_ERRORS]
    return [
        _oauth_error(members),
        *((_text(error.get("code")), _text(error.get("message"))) for error in errors),
        *((_text(members.get(name)),) for name in ("message", "Message", "errorMessage")),
        (_text(members.get("title")), _text(members.get("detail"))),
        *((_validation_error(item),) for item in _list(members.get("detail"))[:MAX_SHOWN_ERRORS]),
    ]


def _oauth_error(members: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Return RFC 6749's code and description (section 5.2), and the message of an `error` that is an object."""
    error, description = members.get("error"), _text(members.get("error_description"))
    if isinstance(error, dict):
        return _text(error.get("code")), description, _text(error.get("message"))
    return _text(error), description, None


def _container_errors(members: dict[str, Any]) -> list[dict[str, Any]]:
    return [error for error in _list(members.get("errors")) if isinstance(error, dict)]


def _validation_error(item: object) -> str | None:
    """Return one item of FastAPI's `detail` as "location: message"."""
    if not isinstance(item, dict):
        return _text(item)
    location = ".".join(str(step) for step in _list(item.get("loc")) if isinstance(step, str | int))
    return ": ".join(filter(None, (location, _text(item.get("msg")))))


def _compact(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return ""


def _texts(value: object) -> Iterator[str]:
    """Yield every string in `value`. It is a loop, because a server could nest deeper than recursion permits."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
