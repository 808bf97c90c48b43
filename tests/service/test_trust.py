"""Whom the probes trust, and what is said where a CA file cannot be used."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from monitor.config.settings import Settings, load
from monitor.errors import ConfigError
from monitor.http.tls import has_trust_anchors, unverifying_context, verifying_context
from monitor.service.trust import probing_context
from monitor.simulator import Simulator


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a daemon that trusts a simulator's authority, from a file that a test can still spoil."""
    file = tmp_path / "ca.pem"
    with Simulator(["prod"]) as simulator:
        file.write_bytes(simulator.ca_file.read_bytes())
        environ = simulator.settings() | {"TIGR_CA_FILE": str(file)}
        return load(environ, run_secrets=Path("/nonexistent")).settings


def test_a_probe_verifies_and_speaks_nothing_old() -> None:
    """The host's name and its certificate, from TLS 1.2 on."""
    context = verifying_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_ca_file_is_trusted_besides_the_system_s_roots() -> None:
    """It adds; it replaces nothing."""
    with Simulator(["prod"]) as simulator:
        with_file = verifying_context(simulator.ca_file).cert_store_stats()["x509_ca"]
    assert with_file == verifying_context().cert_store_stats()["x509_ca"] + 1


def test_a_second_look_believes_anything() -> None:
    """It is there to see what did not verify."""
    context = unverifying_context()
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_the_ca_file_of_the_settings_is_trusted(settings: Settings) -> None:
    """By the context that the daemon probes with."""
    stats = probing_context(settings).cert_store_stats()
    assert stats["x509_ca"] == verifying_context().cert_store_stats()["x509_ca"] + 1


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_ca_file_that_was_spoilt_meanwhile_is_told_to_the_operator(settings: Settings, content: bytes) -> None:
    """With the setting, the file, and what is wrong with it."""
    assert settings.ca_file
    settings.ca_file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^TIGR_CA_FILE: .*ca\.pem cannot be used: it holds no certificate"):
        probing_context(settings)


def test_a_ca_file_that_is_gone_is_told_to_the_operator(settings: Settings) -> None:
    """With the system's own words."""
    assert settings.ca_file
    settings.ca_file.unlink()
    with pytest.raises(ConfigError, match=r"^TIGR_CA_FILE: .*ca\.pem cannot be used: No such file"):
        probing_context(settings)


def test_where_nothing_is_trusted_it_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A context without roots, and a folder of them that is empty or absent; a folder that has some will do."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()
    for folder, expected in ((None, False), (str(tmp_path), False)):
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda folder=folder: paths._replace(capath=folder))
        assert has_trust_anchors(bare) is expected
    (tmp_path / "a.0").touch()
    assert has_trust_anchors(bare)
    with Simulator(["prod"]) as simulator:
        bare.load_verify_locations(simulator.ca_file)
    assert has_trust_anchors(bare)
