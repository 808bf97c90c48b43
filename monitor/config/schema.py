"""The schema of the settings: names, valid values, defaults.

A validator takes a value as its source contains it. The message of its `ValueError` does not quote the value.
"""

from __future__ import annotations

import logging
import re
import ssl
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from monitor import durations
from monitor.config import urls
from monitor.config.proxy import ProxySettings, parse_proxy
from monitor.config.sources import Key, Source, SourceValue
from monitor.model import ClientAuth, FieldNames

logging.getLogger("pydantic_settings").disabled = True  # at DEBUG it logs every value, secrets included

CONFIG_FILE = ("config_file",)  # these two locate the other settings, so only the environment can set them
SECRETS_DIR = ("secrets_dir",)
_SOURCES = "sources"  # the argument of the constructor that carries the sources, which is no setting
CREDENTIALS = ("client_id", "client_secret", "username", "password")
NEVER_QUOTED = (*CREDENTIALS, "token_url", "api_url", "proxy")  # secrets, and URLs into which operators write them

# The two environments that exist by default. The URLs are from the vendor's authentication page; the URL of UAT's
# Client API is from the vendor's page of environment URLs.
KNOWN_ENVIRONMENTS: dict[str, dict[str, str]] = {
    "prod": {
        "token_url": "https://apxjwtauthprod.apx.com/oauth/token",
        "api_url": "https://tigrsregistry.apx.com/ClientAPI",
    },
    "uat": {
        "token_url": "https://apxjwtauthuat.apx.com/oauth/token",
        "api_url": "https://tigrs-app-uat01.apx.com/clientapi",
    },
}


def _boolean(value: object) -> bool:
    truth = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    text = str(value).lower()
    if text not in truth:
        raise ValueError("must be true or false")
    return truth[text]


def is_disabled(value: object) -> bool:
    """Return whether the value of `enabled` disables its environment; an invalid value does not."""
    try:
        return not _boolean(value)
    except ValueError:
        return False


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text, in quotes")  # noqa: TRY004 - pydantic collects ValueErrors
    if not value:
        raise ValueError("is empty; give it a value, or remove it")
    if not _is_unicode(value):
        raise ValueError("is not UTF-8")
    return value


def _credential(value: object) -> str:
    """Return a credential unchanged: blanks, quotes and umlauts are part of it.

    A credential that the server or HTTP (RFC 7617 section 2) would refuse is a problem here already, because a refused
    login may lock the account. A carriage return is not dropped: it may be the last character of the secret.
    """
    text = _text(value)
    if "\n" in text or "\r" in text:
        raise ValueError(
            "has a line break in it (exactly one line feed at the end of a secret file is dropped; "
            "a file with Windows line endings keeps its carriage return)"
        )
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise ValueError("has a control character in it")
    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark; save the file without one")
    return text


def _client_id(value: object) -> str:
    text = _credential(value)
    if ":" in text:
        raise ValueError("has a colon in it, which HTTP Basic authentication cannot carry in a client id")
    return text


def _url(value: object) -> str:
    return urls.url(_text(value))


def _base_url(value: object) -> str:
    return urls.base_url(_text(value))


def _listen(value: object) -> tuple[str, int]:
    return urls.listen(_text(value))


def _duration(minimum: float) -> Callable[[object], float]:
    return lambda value: durations.parse(value, minimum)


def _one_of(*choices: str) -> Callable[[object], str]:
    def choose(value: object) -> str:
        choice = _text(value).lower()
        if choice not in choices:
            raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}")
        return choice

    return choose


def _field_names(value: object) -> FieldNames | None:
    """Return the pinned field names, None for `auto`."""
    chosen = _one_of("auto", *FieldNames)(value)
    return None if chosen == "auto" else FieldNames(chosen)


def _interval_or_off(value: object) -> float | None:
    if isinstance(value, str) and value.lower() == "off":
        return None
    try:
        return durations.parse(value, 60.0)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def _rejected_logins(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 100:
        raise ValueError("must be a whole number from 1 to 100: requests that may carry a rejected password")
    return int(text)


def path(value: object) -> Path:
    """Return the path in a setting. Raises `ValueError`."""
    text = _text(value)
    if "\0" in text:
        raise ValueError("has a NUL in it, which is not allowed in a path")
    return Path(text)


def _file(value: object) -> Path:
    file = path(value)
    try:
        file.open("rb").close()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return file


def _certificates(value: object) -> Path:
    file = _file(value)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise ValueError("names a file that contains no certificates in PEM form") from None
    return file


def _proxy(value: object) -> ProxySettings | None:
    text = _text(value)
    return None if text.lower() == "none" else parse_proxy(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # Python represents bytes of the environment that are not UTF-8 as lone surrogates
        return False
    return True


Credential = Annotated[str, BeforeValidator(_credential), Field(repr=False)]
Interval = Annotated[float, BeforeValidator(_duration(1.0))]


class EnvironmentSchema(BaseModel):
    """The settings of one environment."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    enabled: Annotated[bool, BeforeValidator(_boolean)] = True
    token_url: Annotated[str, BeforeValidator(_url)]
    api_url: Annotated[str, BeforeValidator(_base_url)]
    client_id: Annotated[str, BeforeValidator(_client_id), Field(repr=False)]
    client_secret: Credential
    username: Credential
    password: Credential
    client_auth: Annotated[ClientAuth, BeforeValidator(_one_of(*ClientAuth))] = ClientAuth.RAW
    form_fields: Annotated[FieldNames | None, BeforeValidator(_field_names)] = None  # None: auto
    ping_interval: Interval | None = None  # None: the value for all environments
    auth_interval: Interval | None = None
    confirm_interval: Interval | None = None
    timeout: Interval | None = None


class Schema(BaseSettings):
    """All settings. A timeout may be longer than an interval: runs are skipped then, and counted."""

    model_config = SettingsConfigDict(extra="forbid", hide_input_in_errors=True, validate_default=False)

    ping_interval: Interval = 30.0
    auth_interval: Interval = 300.0
    confirm_interval: Interval = 5.0
    timeout: Interval = 10.0
    renew_margin: Annotated[float, BeforeValidator(_duration(0.0))] = 60.0
    rejected_logins: Annotated[int, BeforeValidator(_rejected_logins)] = 3
    token_host_check: Annotated[bool, BeforeValidator(_boolean)] = True
    unauthenticated_interval: Annotated[float | None, BeforeValidator(_interval_or_off)] = 3600.0  # None: off
    listen: Annotated[tuple[str, int], BeforeValidator(_listen)] = ("127.0.0.1", 9844)
    web_config_file: Annotated[Path | None, BeforeValidator(_file)] = None
    ca_file: Annotated[Path | None, BeforeValidator(_certificates)] = None
    proxy: Annotated[ProxySettings | None, BeforeValidator(_proxy)] = None
    state_dir: Annotated[Path | None, BeforeValidator(path)] = None
    log_level: Annotated[str, BeforeValidator(_one_of("debug", "info", "warning", "error"))] = "info"
    log_format: Annotated[Literal["logfmt", "json"], BeforeValidator(_one_of("logfmt", "json"))] = "logfmt"
    environments: dict[str, EnvironmentSchema]

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
