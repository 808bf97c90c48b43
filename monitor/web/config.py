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

from monitor.errors import ConfigError
from monitor.files import read_regular
from monitor.web import config_values as values
from monitor.web.config_values import IF_GIVEN, REQUIRE, not_offered
from monitor.web.yaml_file import MAX_SIZE, FileProblems, parse_mapping


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

    # The content of a file in PEM form, instead of its path.
    cert: Annotated[bytes | None, BeforeValidator(values.pem)] = None
    key: Annotated[bytes | None, BeforeValidator(values.pem)] = Field(None, repr=False)
    client_ca: Annotated[bytes | None, BeforeValidator(values.pem)] = None
    curve_preferences: Annotated[None, not_offered("leave it out, and OpenSSL chooses well")] = None
    cert_file: Annotated[Path | None, BeforeValidator(values.path)] = Field(None, validate_default=True)
    key_file: Annotated[Path | None, BeforeValidator(values.path)] = Field(None, validate_default=True)
    client_auth_type: Annotated[str, BeforeValidator(values.auth_type)] = "NoClientCert"
    # None, and no `client_ca`: the server requests no client certificate.
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
        return tuple(file for file in (self.cert_file, self.key_file, self.client_ca_file) if file is not None)

    @field_validator("cert_file", "key_file", "client_ca_file")
    @classmethod
    def _check_one_source(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        """Check that the content is not given twice, inline and as a file, and that certificate and key are given."""
        inline = (info.field_name or "").removesuffix("_file")
        if inline not in info.data:  # invalid itself
            return file
        if file is not None and info.data[inline] is not None:
            raise ValueError(f"is set, and so is {inline}: keep one of them")
        if file is None and info.data[inline] is None and inline != "client_ca":
            raise ValueError(f"is missing: the path of a file in PEM form, or its content in {inline}")
        return file

    @field_validator("client_ca_file")
    @classmethod
    def _check_ca_is_used(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        auth_type = info.data.get("client_auth_type")
        if auth_type is None or "client_ca" not in info.data:  # invalid itself
            return file
        is_given = file is not None or info.data["client_ca"] is not None
        if auth_type == REQUIRE and not is_given:
            raise ValueError(f"is missing: {auth_type} verifies certificates with it")
        if is_given and auth_type not in (IF_GIVEN, REQUIRE):
            name = "client_ca" if file is None else "client_ca_file"
            why = f"must be {REQUIRE} (or {IF_GIVEN}) for {name} to have an effect"
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

    # Accepted without an effect: HTTP/2 is an offer, and a client that gets HTTP/1.1 instead works.
    http2: Annotated[bool, BeforeValidator(values.flag)] = True
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
    """Return the content of the file, as `parse` does."""
    return parse(path, read_content(path))


def read_content(path: Path) -> bytes:
    """Return the bytes of the file. Raises `ConfigError`."""
    try:
        return read_regular(path, MAX_SIZE)
    except OSError as error:
        raise ConfigError((f"TIGR_WEB_CONFIG_FILE: {path}: cannot be read: {error.strerror}",)) from None


def parse(path: Path, content: bytes) -> WebConfig:
    """Return the `content` of the file `path`; relative paths in it belong to its directory.

    Raises `ConfigError` with every problem, and without the value of a secret.
    """
    problems = FileProblems(f"TIGR_WEB_CONFIG_FILE: {path}")
    config = WebConfig()
    if (mapping := parse_mapping(content, problems)) is not None:
        try:
            config = WebConfig.model_validate(mapping, context={"directory": path.parent})
        except ValidationError as error:
            _add(error, problems)
    problems.raise_any()
    return config


def _add(error: ValidationError, problems: FileProblems) -> None:
    for detail in error.errors(include_input=False, include_url=False):
        *section, name = map(str, detail["loc"])
        if detail["type"] == "extra_forbidden":
            text = values.unknown_key(name, _SECTIONS[tuple(section)].keys())
        else:
            cause = detail["ctx"]["error"]
            text, name = str(cause), cause.key if isinstance(cause, _OtherKeyError) else name
        problems.add(".".join((*section, name)), text)
