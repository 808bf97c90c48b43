"""Access control of the web pages: the policy from the web configuration file, which is read again when it changes."""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.errors import ConfigError
from monitor.hosts import is_loopback
from monitor.web.passwords import PasswordAttempt, Passwords, PasswordVerdict
from monitor.web.tls import PeerCertificate, is_allowed, server_context
from monitor.web.yaml_file import is_blank

if TYPE_CHECKING:
    from monitor.web.config import TlsSettings, WebConfig

_log = logging.getLogger(__name__)

_MIN_FILE_AGE = 1.0  # seconds since the last change of a file before it is read: a younger one may be half written
_RETRY_INTERVAL = 10.0  # seconds between two attempts to read a configuration that cannot be used


@dataclass(frozen=True, slots=True)
class Denial:
    """Response to a request that is not allowed."""

    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Policy for connections that begin now."""

    config: WebConfig
    context: ssl.SSLContext | None
    fingerprint: tuple[object, ...]  # of all files, as they were read
    blank: bool  # the file has no content

    @property
    def summary(self) -> str:
        """Return the protection of the pages as text for the log."""
        tls = "TLS" if self.context else "no TLS"
        users = len(self.config.users)
        clients = ", client certificates" if self.config.tls and self.config.tls.client_required else ""
        return f"{tls}{clients}, {'passwords' if users else 'no passwords'}"


@dataclass(frozen=True, slots=True)
class ConnectedClient:
    """Client at the other end of a connection."""

    address: str
    policy: AccessPolicy  # in force when the connection began
    certificate: PeerCertificate | None  # verified


class AccessControl:
    """Decides which requests are allowed, in the event loop of the web server.

    `observer` receives the problems of each attempt to read the configuration again; none if it succeeded.
    Raises `ConfigError` if the web configuration cannot be used.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], float] = time.time,
        observer: Callable[[tuple[str, ...]], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._now = now
        self._observer = observer
        self._reading = threading.Lock()  # the event loop and the thread of the status line read the files
        self._policy = _read_policy(path)
        if self._policy.blank:
            _log.warning("the web configuration %s is empty: the web pages have neither TLS nor passwords", path)
        self._seen = self._policy.fingerprint
        self._logged_problems: tuple[str, ...] = ()
        self._next_try = float("inf")
        self._passwords = Passwords()

    def policy(self) -> AccessPolicy:
        """Return the policy in force, after a check of the files. A file that cannot be used changes nothing.

        Thread-safe.
        """
        with self._reading:
            return self._checked_policy()

    def _checked_policy(self) -> AccessPolicy:
        tls = self._policy.config.tls
        fingerprint = _fingerprint(self._path, tls)
        if (fingerprint == self._seen and time.monotonic() < self._next_try) or not self._is_settled(tls):
            return self._policy
        try:
            self._policy = self._changed_policy()
        except ConfigError as error:
            # The cause may be in a file that only the new configuration names, so its change does not show in the
            # fingerprint: try again later, and log the same problems once.
            self._seen, self._next_try = fingerprint, time.monotonic() + _RETRY_INTERVAL
            self._log_problems(error.problems)
            self._observer(error.problems)
        else:
            self._seen, self._next_try, self._logged_problems = self._policy.fingerprint, float("inf"), ()
            _log.info("reloaded the web configuration: %s", self._policy.summary)
            self._observer(())
        return self._policy

    def _changed_policy(self) -> AccessPolicy:
        """Return the policy of the changed files. Raises `ConfigError`.

        A file that lost its content removes no protection: it is the result of a failed write or a full disk.
        """
        from monitor.web.config import WebConfig

        policy = _read_policy(self._path)
        if policy.blank and self._policy.config != WebConfig():
            why = "has lost its content; to serve the pages without protection, write {} to it or restart the monitor"
            raise ConfigError((f"TIGR_WEB_CONFIG_FILE: {self._path}: {why}",))
        return policy

    def _log_problems(self, problems: tuple[str, ...]) -> None:
        if problems != self._logged_problems:
            self._logged_problems = problems
            _log.warning(
                "cannot reload the web configuration, the previous one stays in force: %s", "; ".join(problems)
            )

    async def denial(self, client: ConnectedClient, authorization: str) -> Denial | None:
        """Return the denial of a request with this `Authorization` header; None if it is allowed."""
        policy = self.policy()
        if (denial := _certificate_denial(client)) is not None:
            return denial
        if not policy.config.users:
            return None
        attempt = _password_attempt(authorization, client.address)
        if attempt is not None:
            verdict = await self._passwords.check(attempt, policy.config.users)
            if verdict is PasswordVerdict.RIGHT:
                return None
            if verdict is PasswordVerdict.BUSY:
                return Denial(429, "Too many password checks are waiting; try again later.", ((b"retry-after", b"1"),))
        challenge = (b"www-authenticate", b'Basic realm="tigr-monitor", charset="UTF-8"')
        return Denial(401, "A name and a password are needed.", (challenge,))

    def _is_settled(self, tls: TlsSettings | None) -> bool:
        """Return whether no file is likely to be half written: half a file may lack the part that protects."""
        changed = [status.st_mtime for status in map(_status, _files(self._path, tls)) if status is not None]
        return all(abs(self._now() - moment) >= _MIN_FILE_AGE for moment in changed)


def _certificate_denial(client: ConnectedClient) -> Denial | None:
    """Judge the client certificate by the policy under which the connection was made; the handshake used it."""
    tls = client.policy.config.tls
    if tls is None or not tls.client_required:
        return None
    if client.certificate is None:
        return Denial(403, "A client certificate is needed.")
    if tls.client_allowed_sans and not is_allowed(client.certificate, tls.client_allowed_sans):
        return Denial(403, "No name of this client certificate is allowed.")
    return None


def exposure_warning(host: str, access: AccessControl | None) -> str | None:
    """Return a warning for pages that are served on `host` without protection; None if there is no cause."""
    if is_loopback(host):
        return None
    exposed = f"the web pages are served on {host or 'all addresses'}"
    policy = None if access is None else access.policy()
    if policy is None or not (policy.context or policy.config.users):
        return (
            f"{exposed} without TLS and without a password; set both up in a file and name it in TIGR_WEB_CONFIG_FILE"
        )
    if policy.context is None:
        return f"{exposed} with passwords but without TLS, so that others can read them; add tls_server_config"
    return None


def _read_policy(path: Path) -> AccessPolicy:
    """Read the configuration and every file that it names. Raises `ConfigError`."""
    from monitor.web import config as web_config  # its models cost time, and most daemons have no configuration

    before = _fingerprint(path, None)
    content = web_config.read_content(path)
    config = web_config.parse(path, content)
    fingerprint = before + _fingerprint(path, config.tls)[len(before) :]
    context = None if config.tls is None else server_context(path, config.tls)
    return AccessPolicy(config, context, fingerprint, is_blank(content))


def _files(path: Path, tls: TlsSettings | None) -> tuple[Path, ...]:
    return (path, *(tls.files if tls else ()))


def _status(path: Path) -> Any:  # noqa: ANN401 # os.stat_result or None
    try:
        return path.stat()
    except OSError:
        return None


def _fingerprint(path: Path, tls: TlsSettings | None) -> tuple[object, ...]:
    statuses = map(_status, _files(path, tls))
    return tuple(s and (s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_size) for s in statuses)


def _password_attempt(authorization: str, address: str) -> PasswordAttempt | None:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        return PasswordAttempt(name.decode(), password, address) if colon else None
    except (binascii.Error, ValueError):
        return None
