"""The proxy of a request: from TIGR_PROXY, or from the variables that all programs share."""

from __future__ import annotations

from base64 import b64encode

import pytest

from monitor.config.settings import EnvironmentSettings, ProxySettings
from tests.support.settings import OUTSIDE_ASCII, loaded, name, only_problem

PLAIN = ProxySettings("proxy.test", 3128)
URL = "http://proxy.test:3128"


def prod(environ: dict[str, str | None]) -> EnvironmentSettings:
    """Return the effective settings of prod."""
    return loaded(environ).settings.environments[0]


def proxy_row(environ: dict[str, str | None]) -> tuple[str, str]:
    """Return the displayed value and source of the proxy."""
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
    """The scheme and the port of a proxy are optional, as in other programs."""
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
    """Percent-encoded user and password become the header for the proxy, which no text shows."""
    proxy = prod({"TIGR_PROXY": f"http://{login}@proxy.test:3128"}).token_proxy
    assert proxy is not None
    assert proxy.authorization == "Basic " + b64encode(sent).decode()
    assert repr(proxy) == "ProxySettings(host='proxy.test', port=3128)"
    assert proxy_row({"TIGR_PROXY": f"http://{login}@proxy.test:3128"}) == (URL, "environment")


@pytest.mark.parametrize(
    "written, why",
    [
        ("https://hunter:2@proxy.test:3128", "must be an http:// proxy: https:// and socks proxies are not supported"),
        ("socks5://hunter:2@proxy.test:1080", "must be an http:// proxy"),
        ("http://user:hunter#2@proxy.test:3128", "must end with its port; write a `/`, `?` or `#` in the password"),
        ("http://user:hunter/2@proxy.test:3128", "must end with its port"),
        ("http://user:hunter?2@proxy.test:3128", "must end with its port"),
        ("http://user:hunter2@proxy.test:x", "has no valid port"),
        ("http://user:hunter2@", "has no valid host name"),
        ("http://us%3Aer:hunter2@proxy.test", "has a user name with a colon"),
        ("http://user:hunter%0A2@proxy.test", "has a control character in its user name or password"),
        ("http://user:hünter2@proxy.test", f"is not a URL: {OUTSIDE_ASCII}"),
        ("http://user:hunter2[@proxy.test", "is not a URL: its brackets contain no IPv6 address"),
        ("", "is empty"),
    ],
)
def test_an_unsupported_proxy_is_refused_without_its_credentials(written: str, why: str) -> None:
    """The message names the problem, and contains no part of user and password."""
    problem = only_problem({"TIGR_PROXY": written})
    assert problem.startswith(f"TIGR_PROXY: {why}")
    assert not any(part in problem for part in ("hunter", "hünter", "user:"))
    if written:
        shared = only_problem({"HTTPS_PROXY": written})
        assert shared.startswith(f"HTTPS_PROXY: {why}")
        assert shared.endswith("; to use no proxy, set TIGR_PROXY=none")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_shared_variables_apply_as_in_other_programs(variable: str) -> None:
    """If TIGR_PROXY is not set, the shared variables set the proxy."""
    assert prod({variable: URL}).token_proxy == PLAIN
    assert proxy_row({variable: URL, "NO_PROXY": ".test"}) == (f"{URL}, except for .test", f"${variable}")
    assert proxy_row({variable: URL}) == (URL, f"${variable}")


def test_specific_and_lower_case_variables_take_precedence() -> None:
    """HTTPS_PROXY takes precedence over ALL_PROXY, and https_proxy over HTTPS_PROXY, even if it is empty."""
    assert prod({"HTTPS_PROXY": URL, "ALL_PROXY": "http://other.test"}).token_proxy == PLAIN
    assert prod({"https_proxy": URL, "HTTPS_PROXY": "http://other.test"}).token_proxy == PLAIN
    assert prod({"https_proxy": "", "HTTPS_PROXY": URL}).token_proxy is None
    assert prod({"HTTP_PROXY": URL}).token_proxy is None


@pytest.mark.parametrize(
    "no_proxy",
    ["example.test", ".example.test", "x.test, token.example.test", "token.example.test:8443", "TOKEN.example.TEST"],
)
def test_a_host_in_no_proxy_is_connected_directly(no_proxy: str) -> None:
    """NO_PROXY applies to each host separately, by name, domain, or host and port."""
    url = {name("prod", "TOKEN_URL"): "https://token.example.test:8443/x"}
    settings = prod({**url, "HTTPS_PROXY": URL, "NO_PROXY": no_proxy})
    assert (settings.token_proxy, settings.api_proxy) == (None, PLAIN)


def test_no_proxy_accepts_an_ipv6_address() -> None:
    """An IPv6 address in NO_PROXY has no brackets."""
    url = {name("prod", "TOKEN_URL"): "https://[2001:db8::1]/x"}
    assert prod({**url, "HTTPS_PROXY": URL, "no_proxy": "2001:db8::1"}).token_proxy is None


def test_no_proxy_can_match_every_host() -> None:
    """With `*` in NO_PROXY, an invalid proxy is ignored."""
    assert prod({"HTTPS_PROXY": "socks5://x", "NO_PROXY": "*"}).token_proxy is None


def test_tigr_proxy_takes_precedence_over_the_shared_variables() -> None:
    """A URL is the proxy for every host, `none` means no proxy, and the shared variables are not read."""
    shared: dict[str, str | None] = {"HTTPS_PROXY": "socks5://other.test", "NO_PROXY": "apx.com"}
    assert prod({**shared, "TIGR_PROXY": URL}).token_proxy == PLAIN
    assert prod({**shared, "TIGR_PROXY": "None"}).token_proxy is None
    assert proxy_row({**shared, "TIGR_PROXY": "none"}) == ("none", "environment")
    assert proxy_row({}) == ("none", "default")


@pytest.mark.parametrize("variable", ["TIGR_PROXY", "HTTPS_PROXY"])
def test_a_loopback_address_is_connected_directly(variable: str) -> None:
    """A request in plain http uses no proxy, because it goes to a loopback address."""
    local = {name("prod", "TOKEN_URL"): "HTTP://127.0.0.1:8080/x", name("prod", "API_URL"): "https://127.0.0.1:8443"}
    settings = prod({**local, variable: URL})
    assert (settings.token_proxy, settings.api_proxy) == (None, PLAIN)
