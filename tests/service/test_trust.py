"""The TLS context of the probes, and CA files that cannot be used."""

from __future__ import annotations

import pickle
import resource
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.config.client_certificate import ClientCertificate
from monitor.config.settings import Settings, load
from monitor.errors import ConfigError
from monitor.http.tls import unverifying_context, verifying_context
from monitor.service.trust import load_trust, trust_anchors
from monitor.simulator import Simulator
from tests.support.odd_certificates import issue


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
    stats = load_trust(settings).contexts["prod"].cert_store_stats()
    assert stats["x509_ca"] == verifying_context().cert_store_stats()["x509_ca"] + 1


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_ca_file_is_reported(settings: Settings, content: bytes) -> None:
    """The message has the setting, the file and the problem."""
    assert settings.ca_file
    settings.ca_file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^TIGR_CA_FILE: .*ca\.pem cannot be used: it contains no certificate"):
        load_trust(settings)


def test_a_missing_ca_file_is_reported(settings: Settings) -> None:
    """The message has the error of the system."""
    assert settings.ca_file
    settings.ca_file.unlink()
    with pytest.raises(ConfigError, match=r"^TIGR_CA_FILE: .*ca\.pem cannot be used: No such file"):
        load_trust(settings)


def test_the_anchors_of_the_system_are_read_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a CA file: reading them takes tens of milliseconds, at the start and at each reload."""
    read: list[ssl.SSLContext] = []
    monkeypatch.setattr("monitor.http.tls.load_system_anchors", read.append)
    trust = load_trust(settings)
    assert read == [trust.contexts["prod"]]
    assert not trust.from_system
    assert trust.has_anchors


def test_trust_anchors_are_compared_without_their_certificates(settings: Settings) -> None:
    """Each environment keeps the value."""
    context, without_file = load_trust(settings).contexts["prod"], verifying_context()
    assert trust_anchors(context) == trust_anchors(load_trust(settings).contexts["prod"])
    assert trust_anchors(context) != trust_anchors(without_file)
    assert len(pickle.dumps(trust_anchors(context))) < 100


def client_pair(directory: Path, name: str) -> ClientCertificate:
    """Write a client certificate with its key."""
    pair = issue(name, None)
    (directory / f"{name}.pem").write_bytes(pair.pem + pair.key_pem())
    return ClientCertificate(directory / f"{name}.pem", directory / f"{name}.pem")


def with_pairs(settings: Settings, *pairs: ClientCertificate | None) -> Settings:
    """Return settings with an environment for each client certificate: e0, e1 and so on."""
    first = settings.environments[0]
    environments = [replace(first, name=f"e{at}", client_certificate=pair) for at, pair in enumerate(pairs)]
    return replace(settings, environments=tuple(environments))


def test_equal_pairs_share_a_context(settings: Settings, tmp_path: Path) -> None:
    """A context is expensive; another certificate, or none, needs another one."""
    one, other = client_pair(tmp_path, "one"), client_pair(tmp_path, "other")
    contexts = load_trust(with_pairs(settings, one, None, other, replace(one), None)).contexts
    assert list(contexts) == ["e0", "e1", "e2", "e3", "e4"]
    assert contexts["e0"] is contexts["e3"]
    assert contexts["e1"] is contexts["e4"]
    assert len({id(context) for context in contexts.values()}) == 3
    assert all(context.verify_mode is ssl.CERT_REQUIRED for context in contexts.values())


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_pair_that_changed_after_the_settings_were_loaded_is_reported(
    settings: Settings, tmp_path: Path, content: bytes | None
) -> None:
    """The message names the file."""
    pair = client_pair(tmp_path, "one")
    pair.certificate.unlink()
    if content is not None:
        pair.certificate.write_bytes(content)
    with pytest.raises(ConfigError, match=r"one\.pem and its key .*cannot be used"):
        load_trust(with_pairs(settings, pair))


def test_a_lack_of_descriptors_is_not_blamed_on_the_ca_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may be in order."""
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", "")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(
            ConfigError, match=r"^the CA certificates cannot be read: this machine has no free file descriptor"
        ):
            load_trust(settings)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
