"""The schema of the settings: their names, validators and defaults."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from monitor.config import values
from monitor.config.client_certificate import ClientCertificate
from monitor.config.proxy import ProxySettings
from monitor.config.sources import Key, Source, SourceValue
from monitor.model import ClientAuth, FieldNames, Severity

logging.getLogger("pydantic_settings").disabled = True  # at DEBUG it logs every value, secrets included

CONFIG_FILE = ("config_file",)  # these two locate the other settings, so only the environment can set them
SECRETS_DIR = ("secrets_dir",)
CONTROL_SOCKET = "control.sock"  # the name of the socket in the runtime directory or the state directory
_SOURCES = "sources"  # the argument of the constructor that carries the sources, which is no setting
CREDENTIALS = ("client_id", "client_secret", "username", "password")
SECRETS = (*CREDENTIALS, "client_key_password")  # displayed as `set`
NEVER_QUOTED = (*SECRETS, "token_url", "api_url", "proxy")  # secrets, and URLs into which operators write them

# The two environments that exist by default, with their own defaults. The URLs are from the vendor's authentication
# page; the URL of UAT's Client API is from the vendor's page of environment URLs.
KNOWN_ENVIRONMENTS: dict[str, dict[str, str]] = {
    "prod": {
        "token_url": "https://apxjwtauthprod.apx.com/oauth/token",
        "api_url": "https://tigrsregistry.apx.com/ClientAPI",
        "severity": Severity.CRITICAL,
    },
    "uat": {
        "token_url": "https://apxjwtauthuat.apx.com/oauth/token",
        "api_url": "https://tigrs-app-uat01.apx.com/clientapi",
    },
}

Credential = Annotated[str, BeforeValidator(values.credential), Field(repr=False)]
Interval = Annotated[float, BeforeValidator(values.duration(1.0))]


class EnvironmentSchema(BaseModel):
    """The settings of one environment."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    enabled: Annotated[bool, BeforeValidator(values.boolean)] = True
    token_url: Annotated[str, BeforeValidator(values.url)]
    api_url: Annotated[str, BeforeValidator(values.base_url)]
    client_id: Annotated[str, BeforeValidator(values.client_id), Field(repr=False)]
    client_secret: Credential
    username: Credential
    password: Credential
    client_auth: Annotated[ClientAuth, BeforeValidator(values.one_of(*ClientAuth))] = ClientAuth.RAW
    form_fields: Annotated[FieldNames | None, BeforeValidator(values.field_names)] = None  # None: auto
    client_cert: Annotated[Path | None, BeforeValidator(values.pem_file)] = None
    client_key: Annotated[Path | None, BeforeValidator(values.pem_file)] = None  # None: in the certificate's file
    client_key_password: Annotated[str | None, BeforeValidator(values.credential), Field(repr=False)] = None
    ping_interval: Interval | None = None  # None: the value for all environments
    auth_interval: Interval | None = None
    confirm_interval: Interval | None = None
    timeout: Interval | None = None
    severity: Annotated[Severity, BeforeValidator(values.one_of(*Severity))] = Severity.WARNING

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """Return the client certificate with its key."""
        if self.client_cert is None:
            return None
        return ClientCertificate(self.client_cert, self.client_key or self.client_cert, self.client_key_password)


class Schema(BaseSettings):
    """All settings. A timeout may be longer than an interval: runs are skipped then, and counted."""

    model_config = SettingsConfigDict(extra="forbid", hide_input_in_errors=True, validate_default=False)

    ping_interval: Interval = 30.0
    auth_interval: Interval = 300.0
    confirm_interval: Interval = 5.0
    timeout: Interval = 10.0
    renew_margin: Annotated[float, BeforeValidator(values.duration(0.0))] = 60.0
    rejected_logins: Annotated[int, BeforeValidator(values.rejected_logins)] = 3
    token_host_check: Annotated[bool, BeforeValidator(values.boolean)] = True
    unauthenticated_interval: Annotated[float | None, BeforeValidator(values.interval_or_off)] = 3600.0  # None: off
    listen: Annotated[tuple[str, int], BeforeValidator(values.listen)] = ("127.0.0.1", 9844)
    web_config_file: Annotated[Path | None, BeforeValidator(values.readable_file)] = None
    ca_file: Annotated[Path | None, BeforeValidator(values.certificates)] = None
    proxy: Annotated[ProxySettings | None, BeforeValidator(values.proxy)] = None
    state_dir: Annotated[Path | None, BeforeValidator(values.path)] = None
    control_socket: Annotated[Path | None, BeforeValidator(values.path)] = None  # None: in the state directory
    log_level: Annotated[str, BeforeValidator(values.one_of("debug", "info", "warning", "error"))] = "info"
    log_format: Annotated[Literal["logfmt", "json"], BeforeValidator(values.one_of("logfmt", "json"))] = "logfmt"
    environments: dict[str, EnvironmentSchema]

    @model_validator(mode="after")
    def _put_control_socket_into_state_directory(self) -> Self:
        if self.control_socket is None and self.state_dir is not None:
            self.control_socket = self.state_dir / CONTROL_SOCKET
        return self

    @classmethod
    def from_sources(cls, sources: Sequence[Source]) -> Self:
        """Return the settings from `sources`, which are in ascending order of precedence.

        Raises `pydantic.ValidationError`.
        """
        arguments: dict[str, Any] = {_SOURCES: sources}
        return cls(**arguments)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of `from_sources`, in the library's order: descending precedence."""
        return tuple(reversed(cast("InitSettingsSource", init_settings).init_kwargs[_SOURCES]))


def is_known(value: SourceValue) -> bool:
    """Return whether there is a setting of that key."""
    key = value.key
    if value.value == {}:  # an empty table in a TOML file; an empty table of an environment declares it
        return key[0] == "environments" and len(key) <= 2
    match key:
        case ("environments", _, name):
            return name in EnvironmentSchema.model_fields
        case (name,):
            return name in Schema.model_fields and name != "environments"
    return False


def known_keys(environments: Iterable[str]) -> list[Key]:
    """Return the keys of all settings, with the settings of these environments."""
    top = [(name,) for name in Schema.model_fields if name != "environments"]
    fields = EnvironmentSchema.model_fields
    nested = [("environments", name, field) for name in sorted(environments) for field in fields]
    return [CONFIG_FILE, SECRETS_DIR, *top, *nested]
