"""Verdicts on the kinds of files that Prometheus' exporter-toolkit has as examples."""

from __future__ import annotations

import logging
import re
import ssl
import textwrap
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.web.access import AccessControl
from tests.support.documents import section
from tests.support.web import SESAME, Authority, FakePages, WebClient, serving, write

FILES = "cert_file: server.crt\nkey_file: server.key"
IF_GIVEN = "client_auth_type: VerifyClientCertIfGiven"
REQUIRE = "client_auth_type: RequireAndVerifyClientCert"
GO_SUITES = [
    f"TLS_ECDHE_{key}_WITH_{suite}"
    for key in ("ECDSA", "RSA")
    for suite in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256", "AES_128_CBC_SHA")
]


def tls(*lines: str) -> str:
    """Return a section for TLS with these lines."""
    return "tls_server_config:\n" + textwrap.indent("\n".join(lines), "  ") + "\n"


def inline(name: str, path: Path) -> str:
    """Return a key with the content of a file."""
    return f"{name}: |\n{textwrap.indent(path.read_text(), '  ')}"


def user_with_cost(cost: int) -> str:
    """Return a user whose hash has this cost."""
    return f"basic_auth_users: {{bob: {SESAME.replace('$04$', f'${cost:02}$')}}}"


ACCEPTED = {
    "empty": "",
    "comments only": "# nothing yet\n---\n",
    "byte order mark": "\ufeff",
    "files": tls(FILES),
    "certificate if given, without a CA": tls(FILES, IF_GIVEN),
    "certificate if given, with a CA": tls(FILES, IF_GIVEN, "client_ca_file: ca.pem"),
    "required certificate": tls(FILES, REQUIRE, "client_ca_file: ca.pem"),
    "required names": tls(FILES, REQUIRE, "client_ca_file: ca.pem", "client_allowed_sans: [a, b]"),
    "suites": tls(FILES, f"cipher_suites: [{', '.join(GO_SUITES)}]"),
    "suites without order": tls(FILES, f"cipher_suites: [{GO_SUITES[0]}]", "prefer_server_cipher_suites: false"),
    "no HTTP/2": tls(FILES, "max_version: TLS12") + "http_server_config: {http2: false}",
    "HTTP/2": tls(FILES) + "http_server_config: {http2: true}",
    "headers": "http_server_config: {headers: {X-Frame-Options: deny, X-Content-Type-Options: nosniff}}",
    "users": f"basic_auth_users: {{alice: {SESAME}, bob: {SESAME}}}",
    "users and TLS": tls(FILES) + f"basic_auth_users: {{alice: {SESAME}}}",
    "cost 14": user_with_cost(14),
}
REFUSED = {
    "text": ("hey", "must hold a mapping"),
    "unknown key": ("cert: a", "cert: there is no such key"),
    "no certificate": (tls("key_file: server.key"), r"cert_file: is missing"),
    "empty certificate path": (tls("cert_file: ''", "key_file: server.key"), r"cert_file: is missing"),
    "empty certificate": (tls("cert: ''", "key_file: server.key"), r"cert_file: is missing"),
    "empty key path": (tls("cert_file: server.crt", "key_file: ''"), r"key_file: is missing"),
    "empty key": (tls("cert_file: server.crt", "key: ''"), r"key_file: is missing"),
    "missing files": (tls("cert_file: a", "key_file: b"), r"cert_file: .*/a cannot be read: No such file"),
    "only a version": (tls("min_version: TLS13"), r"cert_file: is missing"),
    "CA without a policy": (tls(FILES, "client_ca_file: ca.pem"), r"client_auth_type: must be RequireAndVerify"),
    "missing CA": (tls(FILES, REQUIRE, "client_ca_file: a"), r"client_ca_file: .*/a cannot be read"),
    "CA file without certificates": (tls(FILES, REQUIRE, "client_ca_file: web.yml"), r"holds no certificate"),
    "CA text without certificates": (
        tls(FILES, REQUIRE, "client_ca: '-----BEGIN X-----'"),
        r"client_ca: the content of client_ca holds no certificate",
    ),
    "CA device": (
        tls(FILES, REQUIRE, "client_ca_file: /dev/null"),
        r"client_ca_file: /dev/null cannot be read: it is a device",
    ),
    "any certificate": (tls(FILES, "client_auth_type: RequireAnyClientCert"), r"RequireAnyClientCert is not offered"),
    "any certificate, old": (tls(FILES, "client_auth_type: RequireClientCert"), r"RequireClientCert is not offered"),
    "required without a CA": (tls(FILES, REQUIRE), r"client_ca_file: is missing"),
    "unknown policy": (tls(FILES, "client_auth_type: Sometimes"), r"client_auth_type: must be"),
    "names of optional certificates": (
        tls(FILES, IF_GIVEN, "client_ca_file: ca.pem", "client_allowed_sans: [a]"),
        r"client_auth_type: must be RequireAndVerifyClientCert for client_allowed_sans",
    ),
    "curves": (tls(FILES, "curve_preferences: [CurveP256]"), r"curve_preferences: is not offered"),
    "unknown curves": (tls(FILES, "curve_preferences: [CurveP257]"), r"curve_preferences: is not offered"),
    "unknown suite": (tls(FILES, "cipher_suites: [TLS_NONE]"), r"cipher_suites: not offered: TLS_NONE"),
    "suite without forward secrecy": (
        tls(FILES, "cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]"),
        r"cipher_suites: not offered: TLS_RSA_WITH_AES_128_CBC_SHA",
    ),
    "unknown version": (tls(FILES, "min_version: TLS111"), r"min_version: must be TLS12 or TLS13"),
    "old version": (tls(FILES, "min_version: TLS10"), r"min_version: TLS10 is not offered"),
    "unknown header": ("http_server_config: {headers: {Set-Cookie: a}}", r"headers.Set-Cookie: there is no such key"),
    "frame option": ("http_server_config: {headers: {X-Frame-Options: foo}}", r"must be deny or sameorigin"),
    "content type option": ("http_server_config: {headers: {X-Content-Type-Options: foo}}", r"must be nosniff"),
    "plain password": ("basic_auth_users: {bob: hunter2}", r"basic_auth_users.bob: must be a bcrypt hash"),
    "cost 15": (user_with_cost(15), r"basic_auth_users.bob: the hash's cost must be from 4 to 14"),
    "cost 18": (user_with_cost(18), r"basic_auth_users.bob: the hash's cost must be from 4 to 14"),
    "rate limit": ("rate_limit: {interval: 1s, burst: 5}", r"rate_limit: is not offered"),
    "rate limit that is off": ("rate_limit: {interval: 0, burst: 0}", r"rate_limit: is not offered"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_file_with_supported_keys_is_accepted(name: str, config: Path, authority: Authority) -> None:
    """The server can start with the file."""
    assert authority.file.exists()
    AccessControl(write(config, ACCEPTED[name]))


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_have_its_effect_is_refused(name: str, config: Path, authority: Authority) -> None:
    """The message has the key and the problem."""
    assert authority.file.exists()
    text, expected = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        AccessControl(write(config, text))
    assert re.search(expected, "\n".join(caught.value.problems))
    assert "hunter2" not in str(caught.value)


def test_inline_certificates_are_used(
    config: Path, tmp_path: Path, pages: FakePages, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """The server has the inline certificate, and verifies clients with the inline CA; the key is in no `repr`."""
    key = (tmp_path / "server.key").read_text()
    text = tls(
        inline("cert", tmp_path / "server.crt"),
        inline("key", tmp_path / "server.key"),
        inline("client_ca", authority.file),
        REQUIRE,
    )
    for name in ("server.crt", "server.key"):
        (tmp_path / name).unlink()
    with serving(pages, write(config, text)) as server:
        assert WebClient(server, authority.file, authority.issue("client")).status() == 200
        assert WebClient(server, authority.file).status() == 403
        write(config, text.replace(REQUIRE, IF_GIVEN) + " ")
        assert WebClient(server, authority.file).status() == 200
    policy = AccessControl(config).policy()
    for line in key.splitlines()[1:-1]:
        assert line not in repr(policy) + caplog.text


@pytest.mark.parametrize("case", ["mixed", "other key", "encrypted", "text"])
def test_unusable_inline_certificates_are_reported_without_their_content(
    case: str, config: Path, tmp_path: Path, authority: Authority
) -> None:
    """The message names the keys; a certificate file goes together with an inline key."""
    other = authority.issue("other", "127.0.0.1", passphrase="hush" if case == "encrypted" else "")[1]
    if case == "text":
        other.write_text("-----BEGIN hunter2-----")
    path = tmp_path / "server.key" if case == "mixed" else other
    write(config, tls("cert_file: server.crt", inline("key", path)))
    if case == "mixed":
        AccessControl(config)
        return
    with pytest.raises(ConfigError) as caught:
        AccessControl(config)
    assert "the content of key" in str(caught.value)
    assert not any(line in str(caught.value) for line in path.read_text().splitlines())


def test_optional_certificates_without_a_ca_are_not_requested(
    config: Path, pages: FakePages, authority: Authority
) -> None:
    """Clients with any certificate and without one get the page."""
    with serving(pages, write(config, tls(FILES, IF_GIVEN))) as server:
        assert WebClient(server, authority.file).status() == 200
        assert WebClient(server, authority.file, authority.issue("client")).status() == 200


def test_a_client_that_offers_http2_gets_http1(config: Path, pages: FakePages, authority: Authority) -> None:
    """With `http2: true` the handshake selects HTTP/1.1."""
    context = ssl.create_default_context(cafile=authority.file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serving(pages, write(config, ACCEPTED["HTTP/2"])) as server:
        connection = WebClient(server, context=context).connect()
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        assert connection.sock.selected_alpn_protocol() == "http/1.1"
        connection.close()


@pytest.mark.parametrize("name", ["empty", "comments only", "byte order mark"])
def test_an_empty_file_means_no_protection_at_the_start_only(
    name: str, config: Path, pages: FakePages, caplog: pytest.LogCaptureFixture
) -> None:
    """The start logs a warning. A file that loses its content changes nothing; one that was empty may stay so."""
    caplog.set_level(logging.INFO, "monitor.web.access")
    with serving(pages, write(config, ACCEPTED[name])) as server:
        assert WebClient(server).status() == 200
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "is empty: the web pages have neither TLS nor passwords" in caplog.text
        write(config, ACCEPTED[name] + "\n")
        assert WebClient(server).status() == 200
        write(config, ACCEPTED["users"])
        assert WebClient(server).status() == 401
        write(config, ACCEPTED[name])
        assert WebClient(server).status() == 401
        assert "has lost its content" in caplog.records[-1].getMessage()
        write(config, "{}")
        assert WebClient(server).status() == 200


def test_each_attempt_to_read_the_file_again_is_reported(config: Path) -> None:
    """The callback gets the problems of a failure, and none after a success."""
    reported: list[tuple[str, ...]] = []
    access = AccessControl(write(config, ACCEPTED["users"]), observer=reported.append)
    access.policy()
    assert reported == []
    for text in ("", "a: 1", ACCEPTED["users"]):
        write(config, text)
        access.policy()
    assert [len(problems) for problems in reported] == [1, 1, 0]


@pytest.mark.parametrize(
    "name",
    [
        "RequireAnyClientCert",
        "RequireAndVerifyClientCert",
        "VerifyClientCertIfGiven",
        "RequestClientCert",
        "curve_preferences",
        "cipher_suites",
        "min_version",
        "rate_limit",
        "http2",
        "cert",
        "client_ca",
        "basic_auth_users",
    ],
)
def test_the_differences_from_the_exporters_are_documented(name: str) -> None:
    """The section about the web configuration names each key and value that has another effect than in an exporter."""
    assert f"`{name}`" in section("docs/configuration.md", "Web configuration")
