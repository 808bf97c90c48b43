"""Web configuration file in the format that Prometheus and its exporters share.

The format is described in docs/web-configuration.md of Prometheus' exporter-toolkit. A key that this server does not
support is an error and never ignored, because its author relies on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from monitor.web import config_values as values
from monitor.web.config_values import IF_GIVEN, REQUIRE, not_offered, only_as_file
from monitor.web.yaml_file import FileProblems, read_mapping

_INLINE = ("cert", "key", "client_ca")  # keys for the content of a file; the server supports only its path


class _OtherKeyError(ValueError):
    """Problem of another key of the section than the validated one."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def keys(cls) -> set[str]:
        """Return the keys of the section, as they are in the file."""
        return {field.alias or name for name, field in cls.model_fields.items()}

    @model_validator(mode="before")
    @classmethod
    def _drop_unset(cls, section: dict[str, Any]) -> dict[str, Any]:
        """Drop keys with an empty value, which means that they are not set."""
        known = cls.keys()
        return {name: value for name, value in section.items() if value != "" or name not in known}


class TlsSettings(_Section):
    """Section `tls_server_config`."""

    cert: Annotated[None, only_as_file("cert")] = None
    key: Annotated[None, only_as_file("key")] = None
    client_ca: Annotated[None, only_as_file("client_ca")] = None
    curve_preferences: Annotated[None, not_offered("leave it out, and OpenSSL chooses well")] = None
    cert_file: Annotated[Path, BeforeValidator(values.path)]
    key_file: Annotated[Path, BeforeValidator(values.path)]
    client_auth_type: Annotated[str, BeforeValidator(values.auth_type)] = "NoClientCert"
    # None: the server requests no client certificate.
    client_ca_file: Annotated[Path | None, BeforeValidator(values.path)] = Field(None, validate_default=True)
    # None: the server accepts any certificate of the client CA.
    client_allowed_sans: Annotated[tuple[str, ...], BeforeValidator(values.text_list)] = ()
    min_version: Annotated[str, BeforeValidator(values.version)] = "TLS12"  # or TLS13
    max_version: Annotated[str, BeforeValidator(values.version)] = "TLS13"  # or TLS12
    # OpenSSL's names of suites of TLS 1.2; none: OpenSSL's default.
    ciphers: Annotated[tuple[str, ...], BeforeValidator(values.ciphers)] = Field((), alias="cipher_suites")
    prefer_server_ciphers: Annotated[bool, BeforeValidator(values.flag)] = Field(
        default=True, alias="prefer_server_cipher_suites"
    )

    @property
    def client_required(self) -> bool:
        """Return whether a client without a certificate is denied."""
        return self.client_auth_type == REQUIRE

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files whose change reloads the configuration."""
        return (self.cert_file, self.key_file, *((self.client_ca_file,) if self.client_ca_file else ()))

    @model_validator(mode="before")
    @classmethod
    def _count_inline_as_file(cls, section: dict[str, Any]) -> dict[str, Any]:
        """Set the path of a file whose content is inline, so that its path is not reported as missing too."""
        inline = [name for name in _INLINE if section.get(name) and not section.get(f"{name}_file")]
        return section | {f"{name}_file": "inline" for name in inline}

    @field_validator("client_ca_file")
    @classmethod
    def _check_ca_is_used(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        auth_type = info.data.get("client_auth_type")
        if auth_type is None:  # invalid itself
            return file
        verifies = auth_type in (IF_GIVEN, REQUIRE)
        if file is None and verifies:
            raise ValueError(f"is missing: {auth_type} verifies certificates with it")
        if file is not None and not verifies:
            why = f"must be {REQUIRE} (or {IF_GIVEN}) for client_ca_file to have an effect"
            raise _OtherKeyError("client_auth_type", why)
        return file

    @field_validator("client_allowed_sans")
    @classmethod
    def _check_sans_are_used(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if names and info.data.get("client_auth_type", REQUIRE) != REQUIRE:
            raise _OtherKeyError("client_auth_type", f"must be {REQUIRE} for client_allowed_sans to have an effect")
        return names

    @field_validator("max_version")
    @classmethod
    def _check_order(cls, version: str, info: ValidationInfo) -> str:
        if info.data.get("min_version", version) > version:
            raise _OtherKeyError("min_version", "is higher than max_version")
        return version


class HttpSettings(_Section):
    """Section `http_server_config`."""

    http2: Annotated[None, BeforeValidator(values.http1)] = None
    # The value b"" removes a default header.
    headers: Annotated[dict[str, bytes], BeforeValidator(values.entries(values.header_value))] = {}


class WebConfig(_Section):
    """Content of the file."""

    tls: Annotated[TlsSettings | None, BeforeValidator(values.mapping)] = Field(None, alias="tls_server_config")
    http: Annotated[HttpSettings | None, BeforeValidator(values.mapping)] = Field(None, alias="http_server_config")
    # bcrypt hashes by name; none: the server requires no password.
    users: Annotated[dict[str, bytes], BeforeValidator(values.entries(values.bcrypt_hash))] = Field(
        {}, alias="basic_auth_users", repr=False
    )
    rate_limit: Annotated[None, not_offered("leave it out; a firewall can limit who connects")] = None

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers for every response, with names in lower case; a header with the value b"" is not sent."""
        return tuple((name.lower().encode(), value) for name, value in (self.http.headers if self.http else {}).items())


_SECTIONS: dict[tuple[str, ...], type[_Section]] = {
    (): WebConfig,
    ("tls_server_config",): TlsSettings,
    ("http_server_config",): HttpSettings,
}


def read(path: Path) -> WebConfig:
    """Return the content of the file. Raises `ConfigError` with every problem, and without the value of a secret."""
    problems = FileProblems(f"TIGR_WEB_CONFIG_FILE: {path}")
    config = WebConfig()
    if (content := read_mapping(path, problems)) is not None:
        try:
            config = WebConfig.model_validate(content, context={"directory": path.parent})
        except ValidationError as error:
            _add(error, problems)
    problems.raise_any()
    return config


def _add(error: ValidationError, problems: FileProblems) -> None:
    for detail in error.errors(include_input=False, include_url=False):
        *section, name = map(str, detail["loc"])
        if detail["type"] == "missing":
            text = "is missing: the path of a file in PEM form"
        elif detail["type"] == "extra_forbidden":
            text = values.unknown_key(name, _SECTIONS[tuple(section)].keys())
        else:
            cause = detail["ctx"]["error"]
            text, name = str(cause), cause.key if isinstance(cause, _OtherKeyError) else name
        problems.add(".".join((*section, name)), text)
