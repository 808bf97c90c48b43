"""The web configuration file: what it may say, and what is said of what it may not."""

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
MINIMAL = "tls_server_config: {cert_file: a.crt, key_file: a.key"


def read_text(tmp_path: Path, text: str) -> WebConfig:
    """What a file with this text means."""
    return read(write(tmp_path / "web.yml", text))


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    """What is wrong with a file with this text, without the words that all of it begins with."""
    path = tmp_path / "web.yml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert all(problem.startswith(f"TIGR_WEB_CONFIG_FILE: {path}: ") for problem in caught.value.problems)
    return [problem.removeprefix(f"TIGR_WEB_CONFIG_FILE: {path}: ") for problem in caught.value.problems]


def test_everything_that_can_be_set(tmp_path: Path) -> None:
    """Each key of the format that is honoured."""
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
    """As Prometheus has it: no users, no password."""
    assert read_text(tmp_path, text) == WebConfig()


@pytest.mark.parametrize("kind,required", [("NoClientCert", False), ("RequestClientCert", False), ("", False)])
def test_certificates_that_nobody_looks_at_are_not_asked_for(tmp_path: Path, kind: str, required: bool) -> None:  # noqa: FBT001
    """Without verification a certificate lets nobody in and keeps nobody out."""
    tls = read_text(tmp_path, f"{MINIMAL}, client_auth_type: '{kind}'}}").tls
    assert tls is not None
    assert (tls.client_required, tls.client_ca_file) == (required, None)


def test_a_certificate_may_be_left_to_the_client(tmp_path: Path) -> None:
    """It is verified where there is one."""
    tls = read_text(tmp_path, f"{MINIMAL}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem}}").tls
    assert tls is not None
    assert (tls.client_required, tls.client_ca_file) == (False, tmp_path / "ca.pem")


@pytest.mark.parametrize(
    "text,expected",
    [
        ("", ["must hold a mapping: lines of `key: value`"]),
        ("- a", ["must hold a mapping: lines of `key: value`"]),
        ("x" * 300_000, ["is longer than 262144 characters"]),
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
            ["tls_server_config.key_file: is missing: the path of a file in PEM form"],
        ),
        (
            "tls_server_config: {cert: a, key: b, client_ca: c, client_auth_type: RequireAndVerifyClientCert}",
            [
                f"tls_server_config.{name}: is not offered: write it to a file, and the path of that to {name}_file"
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
                    f"{AUTH_TYPE}: must be NoClientCert, RequestClientCert, RequireAnyClientCert, "
                    "VerifyClientCertIfGiven or RequireAndVerifyClientCert"
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
        (
            "http_server_config: {http2: true}",
            ["http_server_config.http2: must be false, or left out: this server speaks HTTP/1.1"],
        ),
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
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str | bytes, expected: list[str] | None) -> None:
    """What, where, what to do; nothing is ignored."""
    told = problems(tmp_path, text)
    assert told == expected or (expected is None and len(told) >= 1)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One round of corrections is enough."""
    told = problems(tmp_path, "tls_server_config: {min_version: 1}\nbasic_auth_users: {bob: hunter2}\nextra: 1")
    assert [line.split(": ")[0] for line in told] == [
        "tls_server_config.cert_file",
        "tls_server_config.key_file",
        "tls_server_config.min_version",
        "basic_auth_users.bob",
        "extra",
    ]


@pytest.mark.parametrize(
    "value", ["hunter2", f"{SESAME[:-1]}", SESAME.replace("$04$", "$17$"), "[hunter2]", "*hunter2"]
)
def test_no_password_and_no_hash_is_repeated(tmp_path: Path, value: str) -> None:
    """Somebody will write a password where its hash belongs; the message must not print it."""
    told = "\n".join(problems(tmp_path, f"basic_auth_users:\n  bob: {value}\n"))
    assert told
    assert "hunter2" not in told
    assert SESAME[8:20] not in told


def test_no_hash_is_shown_by_a_repr(tmp_path: Path) -> None:
    """Nor by whatever prints the object."""
    assert SESAME[8:20] not in repr(read_text(tmp_path, f"basic_auth_users: {{bob: {SESAME}}}"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is told with the system's word for it."""
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        read(tmp_path / "nowhere.yml")


def guard_problems(path: Path) -> str:
    """Why a guard cannot be made."""
    with pytest.raises(ConfigError) as caught:
        AccessControl(path)
    return "\n".join(caught.value.problems)


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    """Each file is told by name, with what is wrong with it."""
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    authority.issue("other", "127.0.0.1")
    authority.issue("locked", "127.0.0.1", passphrase="hush")
    (tmp_path / "junk").write_text("junk")
    required = "client_auth_type: RequireAndVerifyClientCert"

    def told(cert: str, key: str, more: str = "") -> str:
        text = f"tls_server_config: {{cert_file: {cert}, key_file: {key}{more}}}"
        return guard_problems(write(tmp_path / "web.yml", text))

    missing = told("nothing.crt", "nothing.key", f", {required}, client_ca_file: nothing.pem")
    for name in ("cert_file", "key_file", "client_ca_file"):
        assert f"tls_server_config.{name}: {tmp_path}/nothing." in missing
    assert missing.count("cannot be read: No such file or directory") == 3
    assert f"{tmp_path}/other.key is not the key of the certificate in" in told("server.crt", "other.key")
    assert "is encrypted: decrypt it" in told("locked.crt", "locked.key")
    assert "must hold a certificate and its key in PEM form" in told("junk", "server.key")
    junk = told("server.crt", "server.key", f", {required}, client_ca_file: junk")
    assert f"client_ca_file: {tmp_path}/junk holds no certificate in PEM form" in junk


def test_yaml_and_bcrypt_are_loaded_only_where_they_are_needed() -> None:
    """Whoever serves loopback without a password does not pay for them."""
    code = "import sys, monitor.daemon; print(sorted({'yaml', 'bcrypt'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
