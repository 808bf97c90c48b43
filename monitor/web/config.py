"""The web configuration file, in the format that Prometheus and its exporters share: what it may say.

The format is described in docs/web-configuration.md of Prometheus' exporter-toolkit. What this server cannot keep is
an error, never ignored: whoever wrote it believes that it is in force.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from monitor.web.yaml_file import Problems, Section, content

_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 15)  # each step doubles the time: at 14 it is a second or two, for which a scraper and a stop wait
_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")
# The suites that Go offers up to TLS 1.2, under Go's names and OpenSSL's.
_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for go, openssl in (
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305", "CHACHA20-POLY1305"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    )
}
_SUITES_OF_TLS13 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
_REQUIRE = "RequireAndVerifyClientCert"
_IF_GIVEN = "VerifyClientCertIfGiven"
_ANY = "RequireAnyClientCert"
_AUTH_TYPES = ("NoClientCert", "RequestClientCert", _ANY, _IF_GIVEN, _REQUIRE)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The section `tls_server_config`."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None  # None: clients are not asked for certificates
    client_required: bool  # whether a client without a certificate is turned away
    client_allowed_sans: tuple[str, ...]  # none: any certificate of the client CA will do
    min_version: str  # "TLS12" or "TLS13", as the next
    max_version: str
    ciphers: tuple[str, ...]  # under OpenSSL's names, of TLS 1.2; none: OpenSSL's own choice
    prefer_server_ciphers: bool

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that is to be read again when it changes."""
        return (self.cert_file, self.key_file, *((self.client_ca_file,) if self.client_ca_file else ()))


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What the file says."""

    tls: TlsSettings | None = None
    users: dict[str, bytes] = field(default_factory=dict, repr=False)  # bcrypt's texts by name; none: no passwords
    headers: tuple[tuple[bytes, bytes], ...] = ()  # names in lower case; one with the value b"" is not to be sent


def read(path: Path) -> WebConfig:
    """Return what the file says. Raises `ConfigError` with everything that is wrong, and no value of a secret."""
    problems = Problems(f"TIGR_WEB_CONFIG_FILE: {path}")
    config = WebConfig()
    found = content(path, problems)
    if found is not None:
        top = Section(found, problems)
        config = WebConfig(
            tls=_tls(top.section("tls_server_config"), path.parent),
            headers=_http(top.section("http_server_config"), problems),
            users=_users(top.section("basic_auth_users")),
        )
        top.refuse("rate_limit", "is not offered: leave it out; a firewall can limit who connects")
        top.refuse_the_rest()
    problems.raise_any()
    return config


def _tls(section: Section, directory: Path) -> TlsSettings | None:
    if not section.values:
        return None
    for name in ("cert", "key", "client_ca"):
        section.refuse(name, f"is not offered: write it to a file, and the path of that to {name}_file")
    section.refuse("curve_preferences", "is not offered: leave it out, and OpenSSL chooses well")
    files = {name: section.file(name, directory) for name in ("cert_file", "key_file", "client_ca_file")}
    for name in ("cert_file", "key_file"):
        if files[name] is None and name.removesuffix("_file") not in section:
            section.wrong(name, "is missing: the path of a file in PEM form")
    allowed = section.texts("client_allowed_sans")
    required = _client_required(section, has_ca=files["client_ca_file"] is not None, has_sans=bool(allowed))
    settings = TlsSettings(
        cert_file=files["cert_file"] or directory,
        key_file=files["key_file"] or directory,
        client_ca_file=files["client_ca_file"],
        client_required=required,
        client_allowed_sans=allowed,
        min_version=_version(section, "min_version", "TLS12"),
        max_version=_version(section, "max_version", "TLS13"),
        ciphers=_ciphers(section),
        prefer_server_ciphers=section.flag("prefer_server_cipher_suites", default=True),
    )
    if settings.min_version > settings.max_version:
        section.wrong("min_version", "is higher than max_version")
    section.refuse_the_rest()
    return settings


def _client_required(section: Section, *, has_ca: bool, has_sans: bool) -> bool:
    """Return whether clients must have a certificate, after complaints of what makes no sense with that.

    RequestClientCert lets in whoever NoClientCert lets in, for nobody looks at the certificate: it is the same here.
    """
    kind = section.one_of("client_auth_type", _AUTH_TYPES)
    if kind == _ANY:  # Python's ssl cannot take a certificate that it does not verify
        why = f"{_ANY} is not offered, for anybody can make such a certificate"
        section.wrong("client_auth_type", f"{why}: use {_REQUIRE}, with client_ca_file")
        return True
    if has_ca and kind not in (_IF_GIVEN, _REQUIRE):
        section.wrong("client_auth_type", f"must be {_REQUIRE} (or {_IF_GIVEN}) for client_ca_file to have an effect")
    elif kind in (_IF_GIVEN, _REQUIRE) and not has_ca and "client_ca" not in section:
        section.wrong("client_ca_file", f"is missing: {kind} verifies certificates with it")
    if has_sans and kind != _REQUIRE:
        section.wrong("client_auth_type", f"must be {_REQUIRE} for client_allowed_sans to have an effect")
    return kind == _REQUIRE


def _version(section: Section, name: str, default: str) -> str:
    value = section.text(name) or default
    if value in ("TLS12", "TLS13"):
        return value
    obsolete = f"{value} is not offered, for it can be broken: " if value in ("TLS10", "TLS11") else ""
    section.wrong(name, f"{obsolete}must be TLS12 or TLS13")
    return default


def _ciphers(section: Section) -> tuple[str, ...]:
    """Return OpenSSL's names of what `cipher_suites` lists under Go's."""
    listed = section.texts("cipher_suites")
    unknown = [suite for suite in listed if suite not in _SUITES and suite not in _SUITES_OF_TLS13]
    if unknown:
        section.wrong("cipher_suites", f"not offered: {', '.join(unknown)}; offered: {', '.join(_SUITES)}")
    found = tuple(_SUITES[suite] for suite in listed if suite in _SUITES)
    if listed and not found and not unknown:
        section.wrong("cipher_suites", "TLS 1.3 always has its own, and TLS 1.2 has none here: use min_version: TLS13")
    return found


def _users(section: Section) -> dict[str, bytes]:
    found = {}
    for name, value in section.values.items():
        match = _BCRYPT.fullmatch(value) if isinstance(value, str) else None
        if not name or ":" in name:
            section.wrong(name, "a user's name is not empty and has no colon")
        elif match is None:
            section.wrong(name, "must be a bcrypt hash, which `htpasswd -nBC 10 NAME` prints behind the name")
        elif int(match["cost"]) not in _COSTS:
            section.wrong(name, f"the hash's cost must be from {_COSTS.start} to {_COSTS.stop - 1}; 10 is usual")
        else:
            found[name] = match[0].encode()
    return found


def _http(section: Section, problems: Problems) -> tuple[tuple[bytes, bytes], ...]:
    if section.flag("http2", default=False):
        section.wrong("http2", "must be false, or left out: this server speaks HTTP/1.1")
    headers = section.section("headers")
    for name in headers.values:
        value = headers.text(name)
        choice = _HEADERS.get(name)
        if choice is None:
            problems.unknown(f"http_server_config.headers.{name}", _HEADERS)
        elif not _HEADER_VALUE.fullmatch(value):
            headers.wrong(name, "must be one line of printable ASCII")
        elif value and choice and value not in choice:
            headers.wrong(name, f"must be {' or '.join(choice)}")
    section.refuse_the_rest()
    return tuple((name.lower().encode(), headers.text(name).encode()) for name in headers.values)
