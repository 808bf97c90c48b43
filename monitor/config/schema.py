"""Which settings there are, what each may be, and what it is when nobody sets it.

Every field takes a `Found` and gives its value; what is wrong with it is said in words that do not repeat it.
"""

from __future__ import annotations

import re
import ssl
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from monitor import durations
from monitor.config import proxy as proxies
from monitor.config import urls as addresses
from monitor.config.sources import Found, Key
from monitor.model import ClientAuth, FieldNames

CONFIG_FILE = ("config_file",)  # these two say where the others are, so only the environment can set them
SECRETS_DIR = ("secrets_dir",)
CREDENTIALS = ("client_id", "client_secret", "username", "password")
NOT_REPEATED = (*CREDENTIALS, "token_url", "api_url", "proxy")  # a secret, or a place where people write one

# Two environments exist without being named. The URLs are those of the vendor's authentication page, and for UAT's
# Client API those of its page of environment URLs.
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


def _switch(found: Found) -> bool:
    truth = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    value = str(found.value).lower()
    if value not in truth:
        raise ValueError("must be true or false")
    return truth[value]


def is_disabled(found: Found) -> bool:
    """Whether `found` leaves its environment out; what is neither on nor off does not."""
    try:
        return not _switch(found)
    except ValueError:
        return False


def _text(found: Found) -> str:
    value = found.value
    if not isinstance(value, str):
        raise ValueError("must be text, in quotes")  # noqa: TRY004 - pydantic collects ValueErrors
    if not value:
        raise ValueError("is empty; give it a value, or remove it")
    if not _is_unicode(value):
        raise ValueError("is not UTF-8")
    return value


def _credential(found: Found) -> str:
    """Return a credential as it is: blanks, quotes and umlauts are part of it.

    What is refused would be so by the server too, or by HTTP (RFC 7617 section 2), and a refused login may lock the
    account. A carriage return is not dropped: nobody can tell a Windows line ending from a secret's last character.
    """
    value = _text(found)
    if "\n" in value or "\r" in value:
        raise ValueError(
            "has a line break in it (exactly one line feed at the end of a secret file is dropped; "
            "a file with Windows line endings keeps its carriage return)"
        )
    if any(unicodedata.category(char) == "Cc" for char in value):
        raise ValueError("has a control character in it")
    if value.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark; save the file without one")
    return value


def _client_id(found: Found) -> str:
    value = _credential(found)
    if ":" in value:
        raise ValueError("has a colon in it, which HTTP Basic authentication cannot carry in a client id")
    return value


def _url(found: Found) -> str:
    return addresses.url(_text(found))


def _base_url(found: Found) -> str:
    return addresses.base_url(_text(found))


def _listen(found: Found) -> tuple[str, int]:
    return addresses.listen(_text(found))


def _duration(least: float) -> Callable[[Found], float]:
    return lambda found: durations.parse(found.value, least)


def _one_of(*words: str) -> Callable[[Found], str]:
    def choose(found: Found) -> str:
        word = _text(found).lower()
        if word not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return word

    return choose


def _field_names(found: Found) -> FieldNames | None:
    """Return the pinned field names, None for `auto`."""
    chosen = _one_of("auto", *FieldNames)(found)
    return None if chosen == "auto" else FieldNames(chosen)


def _interval_or_off(found: Found) -> float | None:
    if isinstance(found.value, str) and found.value.lower() == "off":
        return None
    try:
        return durations.parse(found.value, 60.0)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def _rejected_logins(found: Found) -> int:
    value = str(found.value)
    if isinstance(found.value, bool) or not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 100:
        raise ValueError("must be a whole number from 1 to 100: requests that may carry a rejected password")
    return int(value)


def path(found: Found) -> Path:
    """Return the path that a setting names. Raises `ValueError`."""
    text = _text(found)
    if "\0" in text:
        raise ValueError("has a NUL in it, which no path can hold")
    return Path(text)


def _file(found: Found) -> Path:
    file = path(found)
    try:
        file.open("rb").close()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return file


def _certificates(found: Found) -> Path:
    file = _file(found)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise ValueError("names a file that holds no certificates in PEM form") from None
    return file


def _proxy(found: Found) -> proxies.ProxySettings | None:
    text = _text(found)
    return None if text.lower() == "none" else proxies.parse(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the environment that Python could only carry along
        return False
    return True


Credential = Annotated[str, BeforeValidator(_credential), Field(repr=False)]
Interval = Annotated[float, BeforeValidator(_duration(1.0))]


class EnvironmentSchema(BaseModel):
    """What can be set for one environment."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    enabled: Annotated[bool, BeforeValidator(_switch)] = True
    token_url: Annotated[str, BeforeValidator(_url)]
    api_url: Annotated[str, BeforeValidator(_base_url)]
    client_id: Annotated[str, BeforeValidator(_client_id), Field(repr=False)]
    client_secret: Credential
    username: Credential
    password: Credential
    client_auth: Annotated[ClientAuth, BeforeValidator(_one_of(*ClientAuth))] = ClientAuth.RAW
    form_fields: Annotated[FieldNames | None, BeforeValidator(_field_names)] = None  # None: auto
    ping_interval: Interval | None = None  # None: as for all environments
    auth_interval: Interval | None = None
    confirm_interval: Interval | None = None
    timeout: Interval | None = None


class Schema(BaseSettings):
    """What can be set. A timeout may be longer than an interval: turns are missed then, and counted."""

    model_config = SettingsConfigDict(extra="forbid", hide_input_in_errors=True, validate_default=False)

    ping_interval: Interval = 30.0
    auth_interval: Interval = 300.0
    confirm_interval: Interval = 5.0
    timeout: Interval = 10.0
    renew_margin: Annotated[float, BeforeValidator(_duration(0.0))] = 60.0
    rejected_logins: Annotated[int, BeforeValidator(_rejected_logins)] = 3
    token_host_check: Annotated[bool, BeforeValidator(_switch)] = True
    unauthenticated_interval: Annotated[float | None, BeforeValidator(_interval_or_off)] = 3600.0  # None: off
    listen: Annotated[tuple[str, int], BeforeValidator(_listen)] = ("127.0.0.1", 9844)
    web_config_file: Annotated[Path | None, BeforeValidator(_file)] = None
    ca_file: Annotated[Path | None, BeforeValidator(_certificates)] = None
    proxy: Annotated[proxies.ProxySettings | None, BeforeValidator(_proxy)] = None
    state_dir: Annotated[Path | None, BeforeValidator(path)] = None
    log_level: Annotated[str, BeforeValidator(_one_of("debug", "info", "warning", "error"))] = "info"
    log_format: Annotated[Literal["logfmt", "json"], BeforeValidator(_one_of("logfmt", "json"))] = "logfmt"
    environments: dict[str, EnvironmentSchema]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the one tree that `monitor.config.sources` found.

        The library's own sources do not notice an unknown variable, strip blanks from secrets, and stumble over
        foreign files in the directory of secrets.
        """
        return (init_settings,)


def is_known(found: Found) -> bool:
    """Whether there is such a setting."""
    key = found.key
    if found.value == {}:  # an empty table in a TOML file; one for an environment names it
        return key[0] == "environments" and len(key) <= 2
    match key:
        case ("environments", _, name):
            return name in EnvironmentSchema.model_fields
        case (name,):
            return name in Schema.model_fields and name != "environments"
    return False


def known_keys(environments: Iterable[str]) -> list[Key]:
    """Return every setting there is when `environments` are named."""
    top = [(name,) for name in Schema.model_fields if name != "environments"]
    fields = EnvironmentSchema.model_fields
    nested = [("environments", name, field) for name in sorted(environments) for field in fields]
    return [CONFIG_FILE, SECRETS_DIR, *top, *nested]
