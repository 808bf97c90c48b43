"""The TLS context of the probes, and CA files that cannot be used."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from monitor.config.settings import Settings, load
from monitor.errors import ConfigError
from monitor.http.tls import unverifying_context, verifying_context
from monitor.service.trust import probing_context
from monitor.simulator import Simulator


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with a copy of a simulator's CA file that a test can damage."""
    file = tmp_path / "ca.pem"
    with Simulator(["prod"]) as simulator:
        file.write_bytes(simulator.ca_file.read_bytes())
        environ = simulator.settings() | {"TIGR_CA_FILE": str(file)}
        return load(environ, run_secrets=Path("/nonexistent")).settings


def test_a_probe_verifies_the_certificate_and_requires_tls_1_2() -> None:
    """It also verifies the host name."""
    context = verifying_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_ca_file_is_trusted_in_addition_to_the_system() -> None:
    """The trust anchors of the system stay."""
    with Simulator(["prod"]) as simulator:
        with_file = verifying_context(simulator.ca_file).cert_store_stats()["x509_ca"]
    assert with_file == verifying_context().cert_store_stats()["x509_ca"] + 1


def test_the_context_for_fetching_an_expiry_verifies_nothing() -> None:
    """It is used to fetch certificates that failed verification."""
    context = unverifying_context()
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_the_ca_file_of_the_settings_is_trusted(settings: Settings) -> None:
    """The context of the probes has one more CA certificate than the system."""
    stats = probing_context(settings).cert_store_stats()
    assert stats["x509_ca"] == verifying_context().cert_store_stats()["x509_ca"] + 1


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_ca_file_is_reported(settings: Settings, content: bytes) -> None:
    """The message has the setting, the file and the problem."""
    assert settings.ca_file
    settings.ca_file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^TIGR_CA_FILE: .*ca\.pem cannot be used: it contains no certificate"):
        probing_context(settings)


def test_a_missing_ca_file_is_reported(settings: Settings) -> None:
    """The message has the error of the system."""
    assert settings.ca_file
    settings.ca_file.unlink()
    with pytest.raises(ConfigError, match=r"^TIGR_CA_FILE: .*ca\.pem cannot be used: No such file"):
        probing_context(settings)
