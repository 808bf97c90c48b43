"""Client certificates in the settings: each pair is checked at once, with one message that names the setting."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
import textwrap
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitor.config.settings import describe
from tests.support.odd_certificates import Pair, issue
from tests.support.process import clean, command, run
from tests.support.settings import COMPLETE, loaded, name, only_problem, problems, write

CERT, KEY, PASSWORD = (name("prod", field) for field in ("CLIENT_CERT", "CLIENT_KEY", "CLIENT_KEY_PASSWORD"))
CANARY = "Kanarienvogel%2B42"
LIMIT = 60.0  # seconds


@pytest.fixture(scope="module")
def pair() -> Pair:
    """Provide a certificate and its key."""
    return issue("client", None)


@pytest.fixture
def files(tmp_path: Path, pair: Pair) -> dict[str, str | None]:
    """Provide settings with a valid pair."""
    return {CERT: write(tmp_path / "client.crt", pair.pem), KEY: write(tmp_path / "client.key", pair.key_pem())}


def test_a_pair_is_accepted(files: dict[str, str | None]) -> None:
    """The environment has both paths; another environment has none."""
    prod, uat = loaded(files).settings.environments
    assert prod.client_certificate is not None
    assert str(prod.client_certificate.certificate) == files[CERT]
    assert str(prod.client_certificate.key) == files[KEY]
    assert prod.client_certificate.password is None
    assert uat.client_certificate is None


def test_the_key_may_be_in_the_file_of_the_certificate(tmp_path: Path, pair: Pair) -> None:
    """Many programs use that form."""
    for content in (pair.pem + pair.key_pem(), pair.key_pem() + pair.pem):
        settings = loaded({CERT: write(tmp_path / "both.pem", content)}).settings
        assert settings.environments[0].client_certificate is not None
        assert settings.environments[0].client_certificate.key == tmp_path / "both.pem"


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_needs_its_password(
    tmp_path: Path, files: dict[str, str | None], pair: Pair, form: serialization.PrivateFormat
) -> None:
    """Both forms of encryption, and no message contains the password."""
    encryption = serialization.BestAvailableEncryption(CANARY.encode())
    encrypted = pair.key.private_bytes(serialization.Encoding.PEM, form, encryption)
    files[KEY] = write(tmp_path / "encrypted.key", encrypted)
    settings = loaded({**files, PASSWORD: CANARY})
    assert CANARY not in "\n".join([*describe(settings), repr(settings)])
    assert [row.value for row in settings.origins if row.name == PASSWORD] == ["set"]
    assert only_problem(files).startswith(f"{KEY}: names a key that is encrypted; set {PASSWORD}")
    problem = only_problem({**files, PASSWORD: CANARY[1:]})
    assert problem == f"{PASSWORD}: does not decrypt the key"
    assert only_problem({**files, PASSWORD: "x" * 2000}).startswith(f"{PASSWORD}: is too long")


def test_files_without_a_usable_pair_are_refused(tmp_path: Path, files: dict[str, str | None], pair: Pair) -> None:
    """The message names the file at fault."""
    other = write(tmp_path / "other.key", issue("other", None).key_pem())
    small_key = rsa.generate_private_key(65537, 2048)
    no_certificate, no_key = "names a file that contains no certificate", "names a file that contains no private key"
    mismatch = "names a file whose key does not belong to the certificate in "
    other_algorithm = small_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    der = write(tmp_path / "cert.der", pair.certificate.public_bytes(serialization.Encoding.DER))
    damaged = write(tmp_path / "damaged", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    for setting, value, beginning in (
        (KEY, other, mismatch),
        (KEY, write(tmp_path / "rsa.key", other_algorithm), mismatch),
        (KEY, write(tmp_path / "empty", b""), no_key),
        (KEY, damaged, no_key),
        (KEY, files[CERT], no_key),
        (KEY, None, no_key),
        (KEY, der, no_key),
        (CERT, der, no_certificate),
        (CERT, files[KEY], no_certificate),
        (CERT, write(tmp_path / "noise", os.urandom(100)), no_certificate),
        (CERT, str(tmp_path), "cannot be read: it is a directory"),
        (KEY, "/nonexistent", "cannot be read: No such file or directory"),
        (CERT, pair.pem.decode(), "must be the path of a file, not its content"),
        (KEY, pair.key_pem().decode(), "must be the path of a file, not its content"),
    ):
        message = only_problem({**files, setting: value})
        assert message.startswith(f"{setting if value else CERT}: {beginning}"), message
        assert "BEGIN" not in message


def test_a_pipe_does_not_block(tmp_path: Path, files: dict[str, str | None]) -> None:
    """To open it would wait for another process."""
    os.mkfifo(tmp_path / "pipe")
    for setting in (CERT, KEY):
        assert "it is a named pipe" in only_problem({**files, setting: str(tmp_path / "pipe")})


@pytest.mark.parametrize("setting", [KEY, PASSWORD])
def test_a_key_without_a_certificate_is_refused(files: dict[str, str | None], setting: str) -> None:
    """A key or a password alone has no effect, so it is a mistake."""
    value = {KEY: files[KEY], PASSWORD: CANARY}[setting]
    assert only_problem({setting: value}) == f"{setting}: needs {CERT}, which is not set"


def test_a_pair_of_two_environments_is_reported_once(tmp_path: Path, files: dict[str, str | None]) -> None:
    """Two environments may share a client certificate."""
    other = write(tmp_path / "other.key", issue("other", None).key_pem())
    shared = {
        name(env, field): value
        for env in ("prod", "uat")
        for field, value in (("CLIENT_CERT", files[CERT]), ("CLIENT_KEY", other))
    }
    assert len(problems(shared)) == 1


def test_the_names_of_a_file_are_used(tmp_path: Path, files: dict[str, str | None]) -> None:
    """A problem has the name under which the operator wrote the setting."""
    toml = f'environments.prod.client_cert = "{files[CERT]}"\nenvironments.prod.client_key = "{files[CERT]}"\n'
    file = write(tmp_path / "tigr.toml", toml)
    assert only_problem({"TIGR_CONFIG_FILE": file}).startswith(f"environments.prod.client_key in {file}: ")


def test_a_bad_pair_ends_every_command_with_status_2(tmp_path: Path, files: dict[str, str | None]) -> None:
    """The message is one line on stderr."""
    environ = {key: str(value) for key, value in {**COMPLETE, **files}.items()}
    environ[KEY] = write(tmp_path / "other.key", issue("other", None).key_pem())
    for arguments in (["config"], ["check"], ["run"]):
        ended = run(arguments, {**environ, "TIGR_LISTEN": "127.0.0.1:0"})
        assert (ended.returncode, ended.stdout) == (2, "")
        assert sum(KEY in line for line in ended.stderr.splitlines()) == 1


def test_no_password_is_requested_on_a_terminal(tmp_path: Path, files: dict[str, str | None], pair: Pair) -> None:
    """OpenSSL would wait there for an operator."""
    encrypted = write(tmp_path / "encrypted.key", pair.key_pem(CANARY.encode()))
    environ = {key: str(value) for key, value in {**COMPLETE, **files, KEY: encrypted}.items()}
    on_terminal = """
        import fcntl, os, sys, termios
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.execv(sys.executable, sys.argv[1:])
    """
    master, terminal = pty.openpty()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(on_terminal), *command("config")],
            env=clean(environ),
            stdin=terminal,
            capture_output=True,
            text=True,
            start_new_session=True,
            timeout=LIMIT,
            check=False,
        )
        waiting = fcntl.ioctl(master, termios.FIONREAD, b"\0\0\0\0")
    finally:
        os.close(master)
        os.close(terminal)
    assert ended.returncode == 2, ended.stderr
    assert f"set {PASSWORD}" in ended.stderr
    assert waiting == b"\0\0\0\0", "something was written to the terminal"
