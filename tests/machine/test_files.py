"""Reads of files that an operator names, in every type that a file can have."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.machine.files import read_regular
from monitor.web.access import AccessControl
from tests.support.settings import COMPLETE, problems
from tests.support.web import Authority

FILE_TYPES = (
    "named pipe",
    "device",
    "endless device",
    "directory",
    "socket",
    "large",
    "dangling link",
    "link to a pipe",
)


@contextmanager
def replaced(path: Path, file_type: str) -> Iterator[str]:
    """Replace the file at `path`; yield a part of the reason with which it is refused."""
    path.unlink(missing_ok=True)
    if file_type == "named pipe":
        os.mkfifo(path)
        yield "it is a named pipe"
    elif file_type in ("device", "endless device"):
        path.symlink_to("/dev/null" if file_type == "device" else "/dev/zero")
        yield "it is a device"
    elif file_type == "directory":
        path.mkdir()
        yield "it is a directory"
    elif file_type == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            yield "it is a socket"
    elif file_type == "large":
        with path.open("wb") as file:
            file.truncate(100 * 1024 * 1024)
        yield "it is larger than "
    elif file_type == "dangling link":
        path.symlink_to("missing")
        yield "No such file"
    else:
        os.mkfifo(path.with_name("pipe"))
        path.symlink_to(path.with_name("pipe"))
        yield "it is a named pipe"


def test_a_regular_file_is_read_also_through_a_link(tmp_path: Path) -> None:
    """Kubernetes mounts secrets as links."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(tmp_path / "link", 4)


@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_a_configuration_file_of_another_type_is_one_problem(file_type: str, tmp_path: Path) -> None:
    """The problem names the setting and the file, and no read waits."""
    path = tmp_path / "monitor.toml"
    with replaced(path, file_type) as reason:
        reported = problems({"TIGR_CONFIG_FILE": str(path)})
    assert len(reported) == 1
    assert reported[0].startswith(f"TIGR_CONFIG_FILE: cannot read {path}: {reason}")


@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_a_secret_file_of_another_type_is_one_problem(file_type: str, tmp_path: Path) -> None:
    """The problem names the file, and the secret is not reported as missing."""
    name = next(iter(COMPLETE))
    path = tmp_path / name.lower()
    with replaced(path, file_type) as reason:
        reported = problems({"TIGR_SECRETS_DIR": str(tmp_path), name: None})
    assert len(reported) == 1
    assert reported[0].startswith(f"{path}: cannot be read: {reason}")


@pytest.mark.parametrize("file_type", FILE_TYPES)
@pytest.mark.parametrize("file", ["web.yml", "server.crt", "server.key", "ca.pem"])
def test_a_web_configuration_of_another_type_is_one_problem(file: str, file_type: str, tmp_path: Path) -> None:
    """The rule also covers the files that it names."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", "localhost")
    certificate.rename(tmp_path / "server.crt")
    key.rename(tmp_path / "server.key")
    web = tmp_path / "web.yml"
    web.write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key, "
        "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}"
    )
    AccessControl(web)
    with replaced(tmp_path / file, file_type) as reason, pytest.raises(ConfigError) as refused:
        AccessControl(web)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith("TIGR_WEB_CONFIG_FILE: ")
    assert file in refused.value.problems[0]
    assert f"cannot be read: {reason}" in refused.value.problems[0]


@pytest.mark.parametrize("file_type", FILE_TYPES)
@pytest.mark.parametrize("setting", ["TIGR_CA_FILE", "TIGR_WEB_CONFIG_FILE"])
def test_a_file_that_a_setting_names_must_be_regular(setting: str, file_type: str, tmp_path: Path) -> None:
    """The problem names the setting."""
    path = tmp_path / "file"
    with replaced(path, file_type) as reason:
        reported = problems({setting: str(path)})
    assert len(reported) == 1
    assert reported[0].startswith(f"{setting}: cannot be read: {reason}")
