"""Format of the state file: JSON, version 2, times in Unix seconds. Conversion of version 1 and of login records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.model import FieldNames
from monitor.monitoring.negotiation import NEVER, STOPPED, LoginRecord, NameRecord, Weight, pause_after

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


def login_record(login: StoredLogin, now: float, wall: float) -> LoginRecord:
    """Return the stored record with its times converted to the monotonic clock."""
    resume_at = NEVER
    if login.resume_at is not None:  # a longer pause than the maximum comes from a wrong wall clock
        resume_at = now + min(max(0.0, login.resume_at - wall), pause_after(login.pauses))
    return LoginRecord(
        names=_names(login.names),
        counted=login.counted,
        pauses=login.pauses,
        rejected=login.rejected,
        resume_at=STOPPED if login.stopped else resume_at,
        reload_used=login.reload_used,
        signalled_at=NEVER if login.signalled_at is None else now - max(0.0, wall - login.signalled_at),
        in_flight=login.in_flight,
    )


def _names(stored: Mapping[FieldNames, StoredName]) -> Mapping[FieldNames, NameRecord]:
    empty = StoredName()
    complete = {names: stored.get(names, empty) for names in FieldNames}
    return MappingProxyType(
        {
            names: NameRecord(None if name.refusal is None else Weight(name.refusal), name.responses)
            for names, name in complete.items()
        }
    )


def stored_login(fingerprint: int, record: LoginRecord, offset: float) -> StoredLogin:
    """Return the record in the format of the file; `offset` is wall clock minus monotonic clock, in seconds."""
    return StoredLogin(
        fingerprint=fingerprint,
        names={
            names: StoredName(refusal=None if name.refusal is None else int(name.refusal), responses=name.responses)
            for names, name in record.names.items()
        },
        counted=record.counted,
        pauses=record.pauses,
        rejected=record.rejected,
        stopped=record.resume_at == STOPPED,
        resume_at=None if record.resume_at in (NEVER, STOPPED) else max(0.0, record.resume_at + offset),
        reload_used=record.reload_used,
        signalled_at=None if record.signalled_at == NEVER else max(0.0, record.signalled_at + offset),
        in_flight=record.in_flight,
    )
