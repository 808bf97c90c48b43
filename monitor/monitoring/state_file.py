"""Format of the state file: JSON, version 2, with times in Unix seconds. Version 1 is converted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.model import FieldNames
from monitor.monitoring.negotiation import Weight

VERSION: Final = 2
SALT_BYTES = 16
MAX_SIZE = 64 * 1024  # bytes; each set of credentials takes less than 500

Count = Annotated[int, Field(ge=0, le=10**9)]
UnixSeconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class _Stored(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class StoredName(_Stored):
    """Responses to requests with one pair of field names."""

    refusal: Annotated[int, Field(ge=0, le=max(Weight))] | None = None
    responses: Count = 0


class StoredLogin(_Stored):
    """`LoginRecord` of one set of credentials, identified by a fingerprint."""

    fingerprint: Count
    names: dict[FieldNames, StoredName] = Field(default_factory=dict)
    counted: Count = 0
    pauses: Count = 0
    rejected: bool = False
    stopped: bool = False
    resume_at: UnixSeconds | None = None
    reload_used: bool = False
    signalled_at: UnixSeconds | None = None
    in_flight: bool = False


class StoredHost(_Stored):
    """State of one token URL."""

    granted: FieldNames | None = None
    logins: list[StoredLogin] = Field(default_factory=list)  # the most recently used last


class StoredState(_Stored):
    """Content of the file."""

    version: Literal[2] = VERSION
    salt: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * SALT_BYTES}}}$")]
    last_logins: dict[str, UnixSeconds] = Field(default_factory=dict)  # by environment: start of the last run
    hosts: dict[str, StoredHost] = Field(default_factory=dict)  # by token URL


def parse(content: bytes) -> StoredState:
    """Return the content of a state file. Raises `ValueError` if it is damaged or of an unknown version."""
    try:
        stored = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(stored, dict) and stored.get("version") == 1:
        return _converted(stored)
    return StoredState.model_validate_json(content)


def _converted(stored: Mapping[str, Any]) -> StoredState:
    """Convert the field names and pauses of version 1, which counted attempts without a limit.

    Only one of its attempts is counted, because version 1 also rejected correct credentials on servers that accept only
    the other names. Raises `ValueError`.
    """
    state = StoredState(salt=stored.get("salt", ""))
    try:
        for old in stored["environments"].values():
            host = state.hosts.setdefault(old["token_url"], StoredHost())
            if old["spelling"] is not None:
                host.granted = FieldNames(old["spelling"])
            login = {"fingerprint": old["fingerprint"]}
            if old["rejections"]:
                refused = {"documented": {"refusal": int(Weight.OTHER)}}
                login |= {"names": refused, "counted": 1, "pauses": 1, "rejected": True, "resume_at": old["retry_at"]}
            host.logins.append(StoredLogin.model_validate_json(json.dumps(login)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("a member is missing or of another type") from error
    return StoredState.model_validate_json(state.model_dump_json(warnings="none"))  # checks the URLs too
