"""The valid values of each setting, and the messages about invalid ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.model import FieldNames
from tests.support.settings import FIELDS, OUTSIDE_ASCII, loaded, name, only_problem, write

PASSWORD = name("prod", "PASSWORD")


# Credentials


@pytest.mark.parametrize(
    "value", [" blank first and last ", "pä ß€😀", "%2B+&=\"'\\:#$", "\u00a0", "none", "0", "x" * 1000]
)
@pytest.mark.parametrize("field", FIELDS)
def test_a_credential_is_used_unchanged(tmp_path: Path, field: str, value: str) -> None:
    """Blanks, umlauts and punctuation are kept, from the environment and from a secret file."""
    if field == "CLIENT_ID":
        value = value.replace(":", "")
    write(tmp_path / name("uat", field).lower(), value)
    settings = loaded(
        {name("prod", field): value, name("uat", field): None, "TIGR_SECRETS_DIR": str(tmp_path)}
    ).settings
    assert [getattr(env.credentials, field.lower()) for env in settings.environments] == [value, value]


@pytest.mark.parametrize("content, secret", [("x\n", "x"), ("x", "x"), (" x \n", " x ")])
def test_exactly_one_line_feed_is_dropped(tmp_path: Path, content: str, secret: str) -> None:
    """Only one line feed at the end of a secret file is dropped, because editors and echo append it."""
    write(tmp_path / PASSWORD.lower(), content)
    prod = loaded({PASSWORD: None, "TIGR_SECRETS_DIR": str(tmp_path)}).settings.environments[0]
    assert prod.credentials.password == secret


@pytest.mark.parametrize(
    "content, why",
    [
        ("hunter2\n\n", "has a line break in it (exactly one line feed at the end of a secret file is dropped; "),
        ("hunter2\r\n", "has a line break in it (exactly one line feed at the end of a secret file is dropped; "),
        ("hun\0ter2", "has a control character in it"),
        ("hunter2\t", "has a control character in it"),
        ("hunter2\x7f", "has a control character in it"),
        ("hunter2\x85", "has a control character in it"),
        ("\ufeff\ufeffhunter2", "begins with a byte order mark; save the file without one"),
        ("", "is empty; give it a value, or remove it"),
        ("\n", "is empty; give it a value, or remove it"),
    ],
)
@pytest.mark.parametrize("field", FIELDS)
def test_a_credential_that_cannot_be_sent_is_refused_without_quoting_it(
    tmp_path: Path, field: str, content: str, why: str
) -> None:
    """Control characters, a second byte order mark and an empty value are reported by path, without the value."""
    variable = name("prod", field)
    path = write(tmp_path / variable.lower(), content)
    problem = only_problem({variable: None, "TIGR_SECRETS_DIR": str(tmp_path)})
    assert problem.startswith(f"{path}: {why}")
    assert "hunter" not in problem


def test_a_credential_in_the_environment_must_be_utf_8() -> None:
    """A value that is not UTF-8 is refused, because Python cannot send its bytes unchanged."""
    assert only_problem({PASSWORD: "caf\udce9"}) == f"{PASSWORD}: is not UTF-8"


def test_a_client_id_has_no_colon() -> None:
    """A client id with a colon is refused, because HTTP Basic joins client id and secret with a colon."""
    variable = name("prod", "CLIENT_ID")
    assert only_problem({variable: "hunter:2"}) == (
        f"{variable}: has a colon in it, which HTTP Basic authentication cannot carry in a client id"
    )


@pytest.mark.parametrize("written", ["12345678", "true", "[1]", "1979-05-27", "0x" + "f" * 9000])
def test_a_credential_in_a_toml_file_must_be_quoted(tmp_path: Path, written: str) -> None:
    """A value without quotes is refused, because a number would lose its leading zeros."""
    config = write(tmp_path / "c.toml", f"environments.prod.password = {written}")
    problem = only_problem({PASSWORD: None, "TIGR_CONFIG_FILE": config})
    assert problem == f"environments.prod.password in {config}: must be text, in quotes"


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "https://example.test",
        "https://example.test:8443/a/b",
        "https://192.0.2.1/x",
        "https://[2001:db8::1]:443/x",
        "https://my_host.example.test./x@y",
        "http://127.0.0.1:8080/x",
        "http://127.9.9.9/x",
        "http://localhost:8080/x",
        "http://LOCALHOST/x",
        "http://[::1]:8080/x",
    ],
)
@pytest.mark.parametrize("field", ["TOKEN_URL", "API_URL"])
def test_https_to_any_host_and_http_to_loopback(field: str, url: str) -> None:
    """Plain http is accepted only to a loopback address or `localhost`."""
    prod = loaded({name("prod", field): url}).settings.environments[0]
    assert getattr(prod, field.lower()) == url


@pytest.mark.parametrize(
    "url, why",
    [
        ("http://example.test/x", "must begin with https://; plain http:// is for loopback addresses only"),
        ("http://localhost.example.test", "must begin with https://; plain"),
        ("http://[::ffff:127.0.0.1]/", "must begin with https://; plain"),
        ("http://10.0.0.1/", "must begin with https://; plain"),
        ("ftp://example.test/x", "must begin with https://"),
        ("example.test/x", "has no valid host name"),
        ("https://", "has no valid host name"),
        ("https://:443", "has no valid host name"),
        ("https://-example.test", "has no valid host name"),
        ("https://a..b", "has no valid host name"),
        ("https://a\\b", "has no valid host name"),
        ("https://[fe80::1%25eth0]/", "has no valid host name"),
        ("https://a:0", "has no valid port: it must be a number from 1 to 65535"),
        ("https://a:65536", "has no valid port"),
        ("https://a:", "has no valid port"),
        ("https://a:b", "has no valid port"),
        ("https://[hunter2/", "is not a URL: its brackets contain no IPv6 address"),
        ("https://exämple.test/", f"is not a URL: {OUTSIDE_ASCII}"),
        ("https://a/b c", "is not a URL: it contains a character that must be percent-encoded"),
        ("https://a/b\n", "is not a URL: it contains a character that must be percent-encoded"),
        ("https://hunter:2@a/x", "must not contain a user name or a password"),
        ("https://a/x?hunter2", "must end with its path"),
        ("https://a/x#", "must end with its path"),
        ("", "is empty"),
    ],
)
@pytest.mark.parametrize("field", ["TOKEN_URL", "API_URL"])
def test_an_invalid_url_is_refused_without_quoting_it(field: str, url: str, why: str) -> None:
    """The message names the problem and contains no part of the URL, because operators write passwords into URLs."""
    problem = only_problem({name("prod", field): url})
    assert problem.startswith(f"{name('prod', field)}: {why}")
    assert "hunter" not in problem


def test_the_base_url_ends_without_a_slash() -> None:
    """Trailing slashes of the base URL are removed, those of the token URL are kept."""
    slashes = {
        name("prod", "API_URL"): "HTTPS://example.test/a//",
        name("prod", "TOKEN_URL"): "https://example.test/t/",
    }
    prod = loaded({**slashes}).settings.environments[0]
    assert (prod.api_url, prod.token_url) == ("https://example.test/a", "https://example.test/t/")


# Durations


@pytest.mark.parametrize("setting", ["PING_INTERVAL", "AUTH_INTERVAL", "CONFIRM_INTERVAL", "TIMEOUT"])
def test_intervals_and_the_timeout_are_at_least_a_second(setting: str) -> None:
    """The minimum applies to all environments and to a single one; the message quotes the value."""
    assert only_problem({f"TIGR_{setting}": "500ms"}) == f"TIGR_{setting}: must be between 1s and 1d (it is '500ms')"
    assert only_problem({name("uat", setting): "2d"}).startswith(f"{name('uat', setting)}: must be between 1s and 1d")
    assert only_problem({f"TIGR_{setting}": ""}).endswith("or a number of seconds")


def test_a_long_invalid_value_is_not_quoted() -> None:
    """The message quotes no value of more than 60 characters."""
    assert only_problem({"TIGR_TIMEOUT": "x" * 61}).endswith("or a number of seconds")


def test_an_invalid_value_in_a_secret_file_is_never_quoted(tmp_path: Path) -> None:
    """The message never quotes the content of a secret file, because the file may contain another secret."""
    path = write(tmp_path / "tigr_timeout", "hunter2")
    problem = only_problem({"TIGR_SECRETS_DIR": str(tmp_path)})
    assert problem == f"{path}: must be a duration such as 90s, 5m or 1h30m, or a number of seconds"


def test_the_margin_may_be_zero_and_the_timeout_longer_than_the_interval() -> None:
    """Unusual, but valid values are used unchanged."""
    prod = loaded({"TIGR_RENEW_MARGIN": "0", "TIGR_TIMEOUT": "1m", "TIGR_PING_INTERVAL": "1"}).settings.environments[0]
    assert (prod.renew_margin, prod.timeout, prod.ping_interval) == (0, 60, 1)


# Other settings


@pytest.mark.parametrize(
    "listen, host, port",
    [
        ("0.0.0.0:80", "0.0.0.0", 80),  # noqa: S104 - parsed, not bound
        ("localhost:9844", "localhost", 9844),
        ("[::1]:9844", "::1", 9844),
        ("[::]:9844", "::", 9844),
        (":9844", "", 9844),
        ("127.0.0.1:0", "127.0.0.1", 0),
    ],
)
def test_listens_on_host_and_port(listen: str, host: str, port: int) -> None:
    """The host is a name, an IPv4 address, an IPv6 address in brackets, or empty; a port follows."""
    settings = loaded({"TIGR_LISTEN": listen}).settings
    assert (settings.listen_host, settings.listen_port) == (host, port)


@pytest.mark.parametrize(
    "listen", ["9844", "::1:9844", "[::1]", "localhost", "localhost:", "a b:1", ":65536", ":-1", ":٣", "*:1", "[a]:1"]
)
def test_listen_needs_a_valid_host_and_port(listen: str) -> None:
    """The message shows the valid forms."""
    problem = only_problem({"TIGR_LISTEN": listen})
    assert problem.startswith(
        "TIGR_LISTEN: must be host:port, such as 127.0.0.1:9844, [::1]:9844, or :9844 for every address"
    )


@pytest.mark.parametrize("names", [*FieldNames])
def test_the_field_names_can_be_pinned(names: FieldNames) -> None:
    """The field names can be pinned for each environment, and `auto` pins none."""
    prod, uat = loaded({name("uat", "FORM_FIELDS"): names.upper()}).settings.environments
    assert (prod.form_fields, uat.form_fields) == (None, names)
    assert loaded({name("uat", "FORM_FIELDS"): "auto"}).settings.environments[1].form_fields is None


@pytest.mark.parametrize(
    "setting, choices",
    [
        ("TIGR_LOG_LEVEL", "debug, info, warning or error"),
        ("TIGR_LOG_FORMAT", "logfmt or json"),
        (name("prod", "FORM_FIELDS"), "auto, documented or rfc6749"),
    ],
)
def test_an_invalid_choice_is_reported_with_all_choices(setting: str, choices: str) -> None:
    """The message lists every valid choice."""
    assert only_problem({setting: "loud"}) == f"{setting}: must be {choices} (it is 'loud')"


def test_files_must_be_readable(tmp_path: Path) -> None:
    """A configured file is opened at start, so that a missing one is reported."""
    path = write(tmp_path / "web.yml", "")
    assert loaded({"TIGR_WEB_CONFIG_FILE": path}).settings.web_config_file == Path(path)
    for setting in ("TIGR_WEB_CONFIG_FILE", "TIGR_CA_FILE"):
        problem = only_problem({setting: "/nonexistent"})
        assert problem == f"{setting}: cannot be read: No such file or directory (it is '/nonexistent')"
        assert "it is a directory" in only_problem({setting: str(tmp_path)})


def test_a_ca_file_must_contain_certificates(tmp_path: Path) -> None:
    """A CA file without certificates is refused, because every handshake would fail."""
    for content in ("", "not PEM"):
        path = write(tmp_path / "ca.pem", content)
        assert only_problem({"TIGR_CA_FILE": path}).startswith(
            "TIGR_CA_FILE: names a file that contains no certificates"
        )


def test_a_ca_file_with_certificates_is_accepted(authority: Path) -> None:
    """The path of a valid CA file becomes a setting."""
    assert loaded({"TIGR_CA_FILE": str(authority)}).settings.ca_file == authority


LINK = "TIGR_ALERTMANAGER_URL"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9093", "https://alerts.example/am/#/alerts?silenced=false", "http://[::1]:9093/", "HTTPS://a"],
)
def test_a_link_may_be_any_http_url(url: str) -> None:
    """Plain http is fine for a link: nothing is sent there by the monitor."""
    assert loaded({LINK: url}).settings.alertmanager_url == url.replace("HTTPS", "https")
    assert loaded({}).settings.alertmanager_url is None


@pytest.mark.parametrize(
    "url,why",
    [
        ("javascript:alert(1)", "must begin with https:// or http://"),
        ("//alerts.example", "must begin with https:// or http://"),
        ("alerts.example:9093", "must begin with https:// or http://"),
        ("https://", "has no valid host name"),
        ("https://a:0", "has no valid port: it must be a number from 1 to 65535"),
        ("https://u:hunter2@a/", "must not contain a user name or a password: the page shows it to every reader"),
        ("https://a/ b", "is not a URL: it contains a character that must be percent-encoded"),
        ("https://ä/", f"is not a URL: {OUTSIDE_ASCII}"),
        ("", "is empty; give it a value, or remove it"),
    ],
)
def test_an_invalid_link_is_refused_without_quoting_it(url: str, why: str) -> None:
    """The message has no part of the value, into which operators write passwords."""
    assert only_problem({LINK: url}) == f"{LINK}: {why}"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Return a file with the certificate of a test authority."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(days=1))
    certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )
    path = tmp_path / "ca.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_the_state_directory_must_be_a_path() -> None:
    """An empty path is refused; a state directory that does not exist is accepted."""
    assert loaded({"TIGR_STATE_DIR": "/nonexistent"}).settings.state_dir == Path("/nonexistent")
    assert only_problem({"TIGR_STATE_DIR": ""}) == "TIGR_STATE_DIR: is empty; give it a value, or remove it"


@pytest.mark.parametrize(
    "written, enabled", [("true", 2), ("TRUE", 2), ("1", 2), ("yes", 2), ("on", 2), ("False", 1), ("off", 1)]
)
def test_a_switch_accepts_the_usual_values(written: str, enabled: int) -> None:
    """A switch accepts true or false, yes or no, on or off, 1 or 0, in any case."""
    assert len(loaded({name("uat", "ENABLED"): written}).settings.environments) == enabled
