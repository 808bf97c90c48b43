"""Which proxy a request goes through: our own setting, or the variables that all programs share."""

from __future__ import annotations

from base64 import b64encode

import pytest

from monitor.config.settings import EnvironmentSettings, ProxySettings
from tests.support.settings import loaded, name, only_problem

PLAIN = ProxySettings("proxy.test", 3128)
URL = "http://proxy.test:3128"


def prod(environ: dict[str, str | None]) -> EnvironmentSettings:
    """Return what is in force for prod."""
    return loaded(environ).settings.environments[0]


def told(environ: dict[str, str | None]) -> tuple[str, str]:
    """Return value and source that are told of the proxy."""
    return next((row.value, row.source) for row in loaded(environ).origins if row.name == "TIGR_PROXY")


@pytest.mark.parametrize(
    "written, proxy",
    [
        (URL, PLAIN),
        ("http://proxy.test:3128/", PLAIN),
        ("HTTP://proxy.test:3128", PLAIN),
        ("proxy.test:3128", PLAIN),
        ("http://proxy.test", ProxySettings("proxy.test", 80)),
        ("http://[::1]:3128", ProxySettings("::1", 3128)),
        ("http://[::1]", ProxySettings("::1", 80)),
        ("http://@proxy.test:3128", PLAIN),
    ],
)
def test_a_proxy_is_an_http_url(written: str, proxy: ProxySettings) -> None:
    """Scheme and port may be left out, as other programs have it."""
    assert prod({"TIGR_PROXY": written}).token_proxy == proxy
    assert prod({"TIGR_PROXY": written}).api_proxy == proxy


@pytest.mark.parametrize(
    "login, sent",
    [
        ("user:password", b"user:password"),
        ("us%40er:p%3Aa%2Fss%25", b"us@er:p:a/ss%"),
        ("user:p@ss", b"user:p@ss"),
        ("%C3%A4:%E4", b"\xc3\xa4:\xe4"),
        ("user", b"user:"),
    ],
)
def test_user_and_password_of_a_proxy_are_decoded(login: str, sent: bytes) -> None:
    """Percent-encoded, they become the header that the proxy wants; it is shown nowhere."""
    proxy = prod({"TIGR_PROXY": f"http://{login}@proxy.test:3128"}).token_proxy
    assert proxy is not None
    assert proxy.authorization == "Basic " + b64encode(sent).decode()
    assert repr(proxy) == "ProxySettings(host='proxy.test', port=3128)"
    assert told({"TIGR_PROXY": f"http://{login}@proxy.test:3128"}) == (URL, "environment")


@pytest.mark.parametrize(
    "written, why",
    [
        ("https://hunter:2@proxy.test:3128", "must be an http:// proxy: https:// and socks proxies are not supported"),
        ("socks5://hunter:2@proxy.test:1080", "must be an http:// proxy"),
        ("http://user:hunter#2@proxy.test:3128", "must end with its port; a `/`, `?` or `#` in the password"),
        ("http://user:hunter/2@proxy.test:3128", "must end with its port"),
        ("http://user:hunter?2@proxy.test:3128", "must end with its port"),
        ("http://user:hunter2@proxy.test:x", "has no valid port"),
        ("http://user:hunter2@", "has no valid host name"),
        ("http://us%3Aer:hunter2@proxy.test", "has a user name with a colon in it"),
        ("http://user:hunter%0A2@proxy.test", "has a control character in its user name or password"),
        ("http://user:hünter2@proxy.test", "is not a URL: it holds a character that must be percent-encoded"),
        ("http://user:hunter2[@proxy.test", "is not a URL: its brackets hold no IPv6 address"),
        ("", "is empty"),
    ],
)
def test_another_kind_of_proxy_is_refused_unseen(written: str, why: str) -> None:
    """The message says what to change; of user and password it shows nothing."""
    problem = only_problem({"TIGR_PROXY": written})
    assert problem.startswith(f"TIGR_PROXY: {why}")
    assert not any(part in problem for part in ("hunter", "hünter", "user:"))
    if written:
        shared = only_problem({"HTTPS_PROXY": written})
        assert shared.startswith(f"HTTPS_PROXY: {why}")
        assert shared.endswith("; TIGR_PROXY=none does without")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_shared_variables_apply_as_everywhere(variable: str) -> None:
    """Where TIGR_PROXY is not set, they say which proxy there is."""
    assert prod({variable: URL}).token_proxy == PLAIN
    assert told({variable: URL, "NO_PROXY": ".test"}) == (f"{URL}, except for .test", f"${variable}")
    assert told({variable: URL}) == (URL, f"${variable}")


def test_the_more_specific_and_the_lower_case_win() -> None:
    """HTTPS_PROXY goes before ALL_PROXY, https_proxy before HTTPS_PROXY, and an empty one turns it off."""
    assert prod({"HTTPS_PROXY": URL, "ALL_PROXY": "http://other.test"}).token_proxy == PLAIN
    assert prod({"https_proxy": URL, "HTTPS_PROXY": "http://other.test"}).token_proxy == PLAIN
    assert prod({"https_proxy": "", "HTTPS_PROXY": URL}).token_proxy is None
    assert prod({"HTTP_PROXY": URL}).token_proxy is None


@pytest.mark.parametrize(
    "no_proxy",
    ["example.test", ".example.test", "x.test, token.example.test", "token.example.test:8443", "TOKEN.example.TEST"],
)
def test_what_no_proxy_excepts_is_asked_directly(no_proxy: str) -> None:
    """Each host is judged for itself, by name, domain, or host and port."""
    url = {name("prod", "TOKEN_URL"): "https://token.example.test:8443/x"}
    settings = prod({**url, "HTTPS_PROXY": URL, "NO_PROXY": no_proxy})
    assert (settings.token_proxy, settings.api_proxy) == (None, PLAIN)


def test_no_proxy_excepts_an_ipv6_address() -> None:
    """It is written there without brackets."""
    url = {name("prod", "TOKEN_URL"): "https://[2001:db8::1]/x"}
    assert prod({**url, "HTTPS_PROXY": URL, "no_proxy": "2001:db8::1"}).token_proxy is None


def test_no_proxy_can_except_everything() -> None:
    """Then it does not matter what the proxy would have been."""
    assert prod({"HTTPS_PROXY": "socks5://x", "NO_PROXY": "*"}).token_proxy is None


def test_our_own_setting_goes_before_the_shared_ones() -> None:
    """A URL is the proxy for every host, `none` is none, and the shared variables are not even looked at."""
    shared: dict[str, str | None] = {"HTTPS_PROXY": "socks5://other.test", "NO_PROXY": "apx.com"}
    assert prod({**shared, "TIGR_PROXY": URL}).token_proxy == PLAIN
    assert prod({**shared, "TIGR_PROXY": "None"}).token_proxy is None
    assert told({**shared, "TIGR_PROXY": "none"}) == ("none", "environment")
    assert told({}) == ("none", "default")


@pytest.mark.parametrize("variable", ["TIGR_PROXY", "HTTPS_PROXY"])
def test_this_machine_is_asked_directly(variable: str) -> None:
    """Plain http goes to a loopback address only, where no proxy can be of use."""
    local = {name("prod", "TOKEN_URL"): "HTTP://127.0.0.1:8080/x", name("prod", "API_URL"): "https://127.0.0.1:8443"}
    settings = prod({**local, variable: URL})
    assert (settings.token_proxy, settings.api_proxy) == (None, PLAIN)
