"""Who may see the web pages, and over what: the web configuration file in force, read again when it changes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.errors import ConfigError
from monitor.hosts import is_loopback
from monitor.web import config as web_config
from monitor.web.config import TlsSettings, WebConfig
from monitor.web.passwords import PasswordAttempt, Passwords, PasswordVerdict
from monitor.web.tls import PeerCertificate, is_allowed, server_context

_log = logging.getLogger(__name__)

_SETTLED = 1.0  # seconds since the last change of a file that is read again: it may be half written
_RETRY = 10.0  # seconds between looks at a configuration that cannot be used
_MAX_PROOF_AGE = 30  # seconds
_PROOF_SCHEME = "TIGR-Health"
_HEALTHY = "/-/healthy"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is not answered."""

    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What is in force for a connection that begins now."""

    config: WebConfig
    context: ssl.SSLContext | None
    key: bytes  # which only those know who can read the configuration
    fingerprint: tuple[object, ...]  # of all files, as they were read

    @property
    def described(self) -> str:
        """What protects the pages, in words."""
        tls = "TLS" if self.context else "no TLS"
        users = len(self.config.users)
        clients = ", client certificates" if self.config.tls and self.config.tls.client_required else ""
        return f"{tls}{clients}, {'passwords' if users else 'no passwords'}"


@dataclass(frozen=True, slots=True)
class ConnectedClient:
    """Who is at the other end of a connection."""

    address: str
    door: AccessPolicy
    certificate: PeerCertificate | None  # verified


class AccessControl:
    """Stands before the pages. Used in the web server's event loop; `ConfigError` if the file cannot be used."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._door = _open(path)
        self._seen = self._door.fingerprint
        self._complaint: tuple[str, ...] = ()
        self._next_try = float("inf")
        self._passwords = Passwords()

    def door(self) -> AccessPolicy:
        """Return what is in force, after a look at the files. A file that cannot be used changes nothing."""
        tls = self._door.config.tls
        fingerprint = _fingerprint(self._path, tls)
        if (fingerprint == self._seen and time.monotonic() < self._next_try) or not self._has_settled(tls):
            return self._door
        try:
            self._door = _open(self._path)
        except ConfigError as error:
            # Perhaps what was wrong is a file that only the new configuration names: look again, but tell it once.
            self._seen, self._next_try = fingerprint, time.monotonic() + _RETRY
            if error.problems != self._complaint:
                self._complaint = error.problems
                told = "; ".join(error.problems)
                _log.warning("the web configuration stays as it was, for the new one cannot be used: %s", told)
        else:
            self._seen, self._next_try, self._complaint = self._door.fingerprint, float("inf"), ()
            _log.info("the web configuration was read again: %s", self._door.described)
        return self._door

    async def refusal(self, visitor: ConnectedClient, path: str, authorization: str) -> Denial | None:
        """Return why `path` is not shown to `visitor`, who sent `authorization`; None if it is."""
        door = self.door()
        if path == _HEALTHY and _is_proof(authorization, door.key, self._now()):
            return None
        tls = visitor.door.config.tls
        if tls is not None and tls.client_required:
            if visitor.certificate is None:
                return Denial(403, "A client certificate is needed.")
            if tls.client_allowed_sans and not is_allowed(visitor.certificate, tls.client_allowed_sans):
                return Denial(403, "This client certificate is not among those that are let in.")
        if not door.config.users:
            return None
        attempt = _attempt(authorization, visitor.address)
        if attempt is not None:
            verdict = await self._passwords.check(attempt, door.config.users)
            if verdict is PasswordVerdict.RIGHT:
                return None
            if verdict is PasswordVerdict.BUSY:
                return Denial(429, "Too many passwords wait to be checked.", ((b"retry-after", b"1"),))
        challenge = (b"www-authenticate", b'Basic realm="tigr-monitor", charset="UTF-8"')
        return Denial(401, "A name and a password are needed.", (challenge,))

    def _has_settled(self, tls: TlsSettings | None) -> bool:
        """Whether nobody is likely to be writing still: half a file might leave out what protects."""
        changed = [status.st_mtime for status in map(_status, _files(self._path, tls)) if status is not None]
        return all(abs(self._now() - moment) >= _SETTLED for moment in changed)


def exposure_warning(host: str, guard: AccessControl | None) -> str | None:
    """Return what to warn of when the pages are served on `host`; None if all is well."""
    if is_loopback(host):
        return None
    where = f"the pages are served on {host or 'every address'}"
    door = None if guard is None else guard.door()
    if door is None or not (door.context or door.config.users):
        return f"{where} without TLS and without a password: TIGR_WEB_CONFIG_FILE can name a file that sets them up"
    if door.context is None:
        return f"{where} with passwords but without TLS, so that others can read them: add tls_server_config"
    return None


@dataclass(frozen=True, slots=True)
class Access:
    """How a command on this machine asks `/-/healthy`."""

    tls: bool
    authorization: str | None


def local_access(path: Path | None) -> Access:
    """Return how to ask the daemon whose web configuration is `path`, without a password or a client certificate.

    A container's health check has neither, and the file holds only the password's hash. But a command that can read
    the configuration and the server's key can prove it, for half a minute and for that page alone.
    Raises `ConfigError`.
    """
    if path is None:
        return Access(tls=False, authorization=None)
    door = _open(path)
    moment = str(int(time.time()))
    return Access(tls=door.context is not None, authorization=f"{_PROOF_SCHEME} {moment}:{_proof(door.key, moment)}")


def _proof(key: bytes, moment: str) -> str:
    return hmac.digest(key, moment.encode(), "sha256").hex()


def _is_proof(authorization: str, key: bytes, now: float) -> bool:
    scheme, _, rest = authorization.partition(" ")
    moment, _, proof = rest.partition(":")
    if scheme != _PROOF_SCHEME or not (moment.isascii() and moment.isdecimal() and len(moment) < 20):
        return False
    return hmac.compare_digest(proof.encode(), _proof(key, moment).encode()) and abs(now - int(moment)) < _MAX_PROOF_AGE


def _open(path: Path) -> AccessPolicy:
    """Read everything. Raises `ConfigError`."""
    before = _fingerprint(path, None)
    config = web_config.read(path)
    fingerprint = before + _fingerprint(path, config.tls)[len(before) :]
    context = None if config.tls is None else server_context(path, config.tls)
    key = hashlib.sha256()
    try:
        for file in (path, *((config.tls.key_file,) if config.tls else ())):
            key.update(hashlib.sha256(file.read_bytes()).digest())
    except OSError as error:
        raise ConfigError((f"TIGR_WEB_CONFIG_FILE: {path}: cannot be read: {error.strerror}",)) from None
    return AccessPolicy(config, context, key.digest(), fingerprint)


def _files(path: Path, tls: TlsSettings | None) -> tuple[Path, ...]:
    return (path, *(tls.files if tls else ()))


def _status(path: Path) -> Any:  # noqa: ANN401 # os.stat_result or None
    try:
        return path.stat()
    except OSError:
        return None


def _fingerprint(path: Path, tls: TlsSettings | None) -> tuple[object, ...]:
    found = map(_status, _files(path, tls))
    return tuple(s and (s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_size) for s in found)


def _attempt(authorization: str, address: str) -> PasswordAttempt | None:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        return PasswordAttempt(name.decode(), password, address) if colon else None
    except (binascii.Error, ValueError):
        return None
