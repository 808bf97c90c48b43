"""Tests of the web configuration file: its keys, its values, and the messages for problems."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.web.access import AccessControl
from monitor.web.config import WebConfig, read
from tests.support.web import SESAME, Authority, write

AUTH_TYPE = "tls_server_config.client_auth_type"
PEM = "-----BEGIN X-----"
MINIMAL = "tls_server_config: {cert_file: a.crt, key_file: a.key"


def read_text(tmp_path: Path, text: str) -> WebConfig:
    """Return the configuration in a file with this text."""
    return read(write(tmp_path / "web.yml", text))


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    """Return the problems of a file with this text, without their common prefix."""
    path = tmp_path / "web.yml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert all(problem.startswith(f"TIGR_WEB_CONFIG_FILE: {path}: ") for problem in caught.value.problems)
    return [problem.removeprefix(f"TIGR_WEB_CONFIG_FILE: {path}: ") for problem in caught.value.problems]


def test_every_supported_key_takes_effect(tmp_path: Path) -> None:
    """The configuration has the values of all keys that the server supports."""
    config = read_text(
        tmp_path,
        f"""
        tls_server_config:
          cert_file: certs/server.crt
          key_file: /etc/ssl/server.key
          client_auth_type: RequireAndVerifyClientCert
          client_ca_file: ca.pem
          client_allowed_sans: [prometheus.internal, 10.0.0.1]
          min_version: TLS12
          max_version: TLS12
          cipher_suites:
            - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            - TLS_AES_128_GCM_SHA256
          prefer_server_cipher_suites: false
        http_server_config:
          http2: false
          headers:
            X-Frame-Options: sameorigin
            Strict-Transport-Security: max-age=31536000
            X-Content-Type-Options:
        basic_auth_users:
          alice: {SESAME}
          on: {SESAME.replace("$2b$", "$2y$")}
        """,
    )
    assert config.tls is not None
    assert config.tls.cert_file == tmp_path / "certs/server.crt"
    assert config.tls.key_file == Path("/etc/ssl/server.key")
    assert config.tls.client_ca_file == tmp_path / "ca.pem"
    assert config.tls.client_required
    assert config.tls.client_allowed_sans == ("prometheus.internal", "10.0.0.1")
    assert (config.tls.min_version, config.tls.max_version) == ("TLS12", "TLS12")
    assert config.tls.ciphers == ("ECDHE-ECDSA-AES256-GCM-SHA384",)
    assert not config.tls.prefer_server_ciphers
    assert list(config.users) == ["alice", "on"]
    assert config.headers == (
        (b"x-frame-options", b"sameorigin"),
        (b"strict-transport-security", b"max-age=31536000"),
        (b"x-content-type-options", b""),
    )


@pytest.mark.parametrize("text", ["tls_server_config:\nbasic_auth_users: ~\n", "{}", "http_server_config: {}"])
def test_empty_sections_are_not_set(tmp_path: Path, text: str) -> None:
    """An empty section has the effect of a missing one, as in Prometheus."""
    assert read_text(tmp_path, text) == WebConfig()


@pytest.mark.parametrize("auth_type,required", [("NoClientCert", False), ("RequestClientCert", False), ("", False)])
def test_certificates_that_are_not_verified_are_not_requested(tmp_path: Path, auth_type: str, required: bool) -> None:  # noqa: FBT001
    """Without verification the server requests no client certificate."""
    tls = read_text(tmp_path, f"{MINIMAL}, client_auth_type: '{auth_type}'}}").tls
    assert tls is not None
    assert (tls.client_required, tls.client_ca_file) == (required, None)


def test_a_client_certificate_can_be_optional(tmp_path: Path) -> None:
    """The server verifies the certificate if the client has one."""
    tls = read_text(tmp_path, f"{MINIMAL}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem}}").tls
    assert tls is not None
    assert (tls.client_required, tls.client_ca_file) == (False, tmp_path / "ca.pem")


@pytest.mark.parametrize(
    "text,expected",
    [
        ("- a", ["must hold a mapping: lines of `key: value`"]),
        ("x" * 300_000, ["cannot be read: it is larger than 262144 bytes"]),
        (b"a: \xff", ["is not UTF-8 text"]),
        ("a: 1\nb: [\n", ["line 3: is not valid YAML"]),
        ("a: \x07", ["is not valid YAML"]),
        ("[" * 5000, ["is not valid YAML"]),
        ("tls_server_confg: {}", ["tls_server_confg: there is no such key; did you mean tls_server_config?"]),
        ("zzz: 1", ["zzz: there is no such key"]),
        ("? [a]\n: 1", ["?: there is no such key"]),
        (
            "basic_auth_users:\n  a: b\nbasic_auth_users: {}",
            ["basic_auth_users: is there twice, again in line 3: remove one"],
        ),
        ("http_server_config: {headers: {a: {b: {c: {d: {e: {f: {g: 1}}}}}}}}", None),
        ("rate_limit: {burst: 1}", ["rate_limit: is not offered: leave it out; a firewall can limit who connects"]),
        ("tls_server_config: yes", ["tls_server_config: must be a mapping, with lines of `key: value` below it"]),
        (
            "tls_server_config: {cert_file: a}",
            ["tls_server_config.key_file: is missing: the path of a file in PEM form, or its content in key"],
        ),
        (
            "tls_server_config: {cert: a, key: b, client_ca: c, client_auth_type: RequireAndVerifyClientCert}",
            [
                f"tls_server_config.{name}: must be the content of a file in PEM form; a path belongs in the key that "
                "ends with _file"
                for name in ("cert", "key", "client_ca")
            ],
        ),
        (
            (
                f"{MINIMAL}, cert: '{PEM}', key: '{PEM}', client_ca: '{PEM}', client_ca_file: a.pem, "
                "client_auth_type: VerifyClientCertIfGiven}"
            ),
            [
                f"tls_server_config.{name}_file: is set, and so is {name}: keep one of them"
                for name in ("cert", "key", "client_ca")
            ],
        ),
        (
            f"{MINIMAL}, curve_preferences: [X25519]}}",
            ["tls_server_config.curve_preferences: is not offered: leave it out, and OpenSSL chooses well"],
        ),
        (f"{MINIMAL}, cert_flie: b}}", ["tls_server_config.cert_flie: there is no such key; did you mean cert_file?"]),
        (
            f'{MINIMAL}, client_ca_file: "a\\0b"}}',
            ["tls_server_config.client_ca_file: has a NUL in it, which no path can hold"],
        ),
        (f"{MINIMAL}, min_version: [TLS12]}}", ["tls_server_config.min_version: must be a single value"]),
        (f"{MINIMAL}, min_version: '1.2'}}", ["tls_server_config.min_version: must be TLS12 or TLS13"]),
        (
            f"{MINIMAL}, max_version: TLS11}}",
            ["tls_server_config.max_version: TLS11 is not offered, for it can be broken: must be TLS12 or TLS13"],
        ),
        (
            f"{MINIMAL}, min_version: TLS13, max_version: TLS12}}",
            ["tls_server_config.min_version: is higher than max_version"],
        ),
        (
            f"{MINIMAL}, client_auth_type: RequireAnyClientCert}}",
            [
                (
                    f"{AUTH_TYPE}: RequireAnyClientCert is not offered, for anybody can make such a "
                    "certificate: use RequireAndVerifyClientCert, with client_ca_file"
                )
            ],
        ),
        (
            f"{MINIMAL}, client_auth_type: requireandverify}}",
            [
                (
                    f"{AUTH_TYPE}: must be NoClientCert, RequestClientCert, VerifyClientCertIfGiven "
                    "or RequireAndVerifyClientCert"
                )
            ],
        ),
        (
            f"{MINIMAL}, client_auth_type: RequireAndVerifyClientCert}}",
            ["tls_server_config.client_ca_file: is missing: RequireAndVerifyClientCert verifies certificates with it"],
        ),
        (
            f"{MINIMAL}, client_ca_file: ca.pem}}",
            [
                (
                    f"{AUTH_TYPE}: must be RequireAndVerifyClientCert (or VerifyClientCertIfGiven) "
                    "for client_ca_file to have an effect"
                )
            ],
        ),
        (
            f"{MINIMAL}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: a, client_allowed_sans: [b]}}",
            [(f"{AUTH_TYPE}: must be RequireAndVerifyClientCert for client_allowed_sans to have an effect")],
        ),
        (f"{MINIMAL}, client_allowed_sans: b}}", ["tls_server_config.client_allowed_sans: must be a list of texts"]),
        (
            f"{MINIMAL}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}",
            [
                (
                    "tls_server_config.cipher_suites: TLS 1.3 always has its own, and TLS 1.2 has none here: "
                    "use min_version: TLS13"
                )
            ],
        ),
        (f"{MINIMAL}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}", None),
        (
            f"{MINIMAL}, prefer_server_cipher_suites: 1}}",
            ["tls_server_config.prefer_server_cipher_suites: must be true or false"],
        ),
        ("http_server_config: {http2: 2}", ["http_server_config.http2: must be true or false"]),
        ("http_server_config: {http3: true}", ["http_server_config.http3: there is no such key; did you mean http2?"]),
        (
            "http_server_config: {headers: {X-Frame-Option: deny}}",
            ["http_server_config.headers.X-Frame-Option: there is no such key; did you mean X-Frame-Options?"],
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: DENY}}",
            ["http_server_config.headers.X-Frame-Options: must be deny or sameorigin"],
        ),
        (
            'http_server_config: {headers: {X-XSS-Protection: "1\\r\\nSet-Cookie: a"}}',
            ["http_server_config.headers.X-XSS-Protection: must be one line of printable ASCII"],
        ),
        ("basic_auth_users: {'': x}", ["basic_auth_users.: a user's name is not empty and has no colon"]),
        ("basic_auth_users: {'a:b': x}", ["basic_auth_users.a:b: a user's name is not empty and has no colon"]),
    ],
)
def test_each_problem_is_reported_with_its_key(tmp_path: Path, text: str | bytes, expected: list[str] | None) -> None:
    """The message has the key, the problem and the remedy, and no problem is ignored."""
    messages = problems(tmp_path, text)
    assert messages == expected or (expected is None and len(messages) >= 1)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """The error has one message per problem of the file."""
    messages = problems(tmp_path, "tls_server_config: {min_version: 1}\nbasic_auth_users: {bob: hunter2}\nextra: 1")
    assert [line.split(": ")[0] for line in messages] == [
        "tls_server_config.cert_file",
        "tls_server_config.key_file",
        "tls_server_config.min_version",
        "basic_auth_users.bob",
        "extra",
    ]


@pytest.mark.parametrize(
    "value", ["hunter2", f"{SESAME[:-1]}", SESAME.replace("$04$", "$17$"), "[hunter2]", "*hunter2"]
)
def test_no_message_contains_a_password_or_a_hash(tmp_path: Path, value: str) -> None:
    """A password in the place of its hash does not appear in the message."""
    text = "\n".join(problems(tmp_path, f"basic_auth_users:\n  bob: {value}\n"))
    assert text
    assert "hunter2" not in text
    assert SESAME[8:20] not in text


def test_no_repr_contains_a_hash(tmp_path: Path) -> None:
    """The `repr` of the configuration leaves the hashes out."""
    assert SESAME[8:20] not in repr(read_text(tmp_path, f"basic_auth_users: {{bob: {SESAME}}}"))


def test_a_missing_file_is_reported_with_the_error_of_the_system(tmp_path: Path) -> None:
    """The message has the text of the system error."""
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        read(tmp_path / "nowhere.yml")


def access_problems(path: Path) -> str:
    """Return the problems that prevent access control with this file."""
    with pytest.raises(ConfigError) as caught:
        AccessControl(path)
    return "\n".join(caught.value.problems)


def test_unusable_certificates_are_reported_by_file(tmp_path: Path) -> None:
    """Each message has the key, the path and the problem of one file."""
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    authority.issue("other", "127.0.0.1")
    authority.issue("locked", "127.0.0.1", passphrase="hush")
    (tmp_path / "junk").write_text("junk")
    required = "client_auth_type: RequireAndVerifyClientCert"

    def report(cert: str, key: str, more: str = "") -> str:
        text = f"tls_server_config: {{cert_file: {cert}, key_file: {key}{more}}}"
        return access_problems(write(tmp_path / "web.yml", text))

    missing = report("nothing.crt", "nothing.key", f", {required}, client_ca_file: nothing.pem")
    for name in ("cert_file", "key_file", "client_ca_file"):
        assert f"tls_server_config.{name}: {tmp_path}/nothing." in missing
    assert missing.count("cannot be read: No such file or directory") == 3
    assert f"{tmp_path}/other.key is not the key of the certificate in" in report("server.crt", "other.key")
    assert "is encrypted: decrypt it" in report("locked.crt", "locked.key")
    assert "must hold a certificate and its key in PEM form" in report("junk", "server.key")
    junk = report("server.crt", "server.key", f", {required}, client_ca_file: junk")
    assert f"client_ca_file: {tmp_path}/junk holds no certificate in PEM form" in junk


def test_modules_of_the_web_configuration_are_imported_on_demand() -> None:
    """A daemon without a web configuration imports none of them."""
    modules = "{'yaml', 'bcrypt', 'monitor.web.config', 'monitor.web.config_values'}"
    code = f"import sys, monitor.service.daemon; print(sorted({modules} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
