"""TLS contexts: one verdict on every Python and in curl, and trust anchors that are read before the first handshake."""

from __future__ import annotations

import errno
import functools
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from monitor.http import tls
from monitor.http.tls import has_trust_anchors, unverifying_context, verified_chain, verifying_context
from tests.support import verdict
from tests.support.odd_certificates import HOST, Case, ca_extensions, issue, names, write_cases

ROOT = Path(verdict.__file__).parents[2]
NO_ANCHORS = {"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": "/nonexistent"}
LIMIT = 60.0  # seconds


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Provide the files of all cases."""
    return write_cases(tmp_path_factory.mktemp("cases"))


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Provide a server's key and chain; its root is in a directory of trust anchors."""
    root = issue("root", None, ca_extensions())
    file = tmp_path / "chain.pem"
    leaf = issue(HOST, root, names(HOST))
    file.write_bytes(leaf.key_pem() + leaf.pem)
    (tmp_path / "anchors").mkdir()
    (tmp_path / "anchors" / "0a1b2c3d.0").write_bytes(root.pem)
    return file


def accepted(context: ssl.SSLContext, chain: Path) -> bool:
    """Return whether the chain is accepted for `HOST`."""
    return verdict.judge(context, str(chain), HOST)[0] == ""


def judged_by(python: str, cases: Sequence[Case], directory: Path) -> dict[str, tuple[str, int, float | None]]:
    """Return the verdicts of another Python, in which the monitor is not installed."""
    metadata = directory / "tigr_monitor-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tigr-monitor\nVersion: 0\n", encoding="utf-8")
    environ = {**NO_ANCHORS, "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}", "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [python, "-P", verdict.__file__],
        input=json.dumps([asdict(case) for case in cases]),
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return {name: tuple(judgement) for name, judgement in json.loads(run.stdout).items()}


@functools.cache
def other_pythons() -> Mapping[str, str]:
    """Return the paths of other versions of Python from 3.11 on, by version."""
    versions = {}
    installed = sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))
    on_path = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    for candidate in (*map(str, installed), *filter(None, on_path)):
        code = "import sys; print('%d.%d' % sys.version_info[:2] if sys.version_info >= (3, 11) else '')"
        run = subprocess.run([candidate, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=False)
        version = run.stdout.strip()
        if run.returncode == 0 and version and version != "{}.{}".format(*sys.version_info[:2]):
            versions[version] = candidate
    return versions


def test_a_certificate_has_the_expected_verdict(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is what curl says, except that a CN without SAN is refused."""
    for name, value in NO_ANCHORS.items():
        monkeypatch.setenv(name, value)
    contexts = {case.ca_file: verifying_context(Path(case.ca_file)) for case in cases}
    verdicts = {case.name: verdict.judge(contexts[case.ca_file], case.chain, case.host)[0] for case in cases}
    assert {name: text == "" for name, text in verdicts.items()} == {case.name: case.accepted for case in cases}, (
        verdicts
    )


def test_a_certificate_has_the_same_verdict_on_another_version_of_python(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reasons and the length and expiry of each verified chain are equal too."""
    if not other_pythons():
        pytest.skip("no second version of Python (3.11 or newer) is installed")
    newest = max(other_pythons(), key=lambda version: [int(part) for part in version.split(".")])
    for name, value in NO_ANCHORS.items():
        monkeypatch.setenv(name, value)
    here = {case.name: verdict.judge(verifying_context(Path(case.ca_file)), case.chain, case.host) for case in cases}
    assert judged_by(other_pythons()[newest], cases, tmp_path) == here


def test_curl_has_the_same_verdict(cases: list[Case]) -> None:
    """A CN without SAN is the only exception."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    with presenting(cases) as ports:
        verdicts = {case.name: curl_accepts(case, ports[case.name]) for case in cases}
    assert verdicts == {case.name: case.curl for case in cases}
    assert [case.name for case in cases if case.curl is not case.accepted] == ["CN without SAN"]


def curl_accepts(case: Case, port: int) -> bool:
    """Return whether curl accepts the server at `port`; only the certificate may be the reason if not."""
    command = ["curl", "-q", "-sS", "--cacert", case.ca_file, "--capath", "/nonexistent", "--noproxy", "*"]
    command += ["--connect-to", f"::127.0.0.1:{port}", f"https://{case.host}/"]
    run = subprocess.run(command, env={}, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert run.returncode in (0, 60), (case.name, run.stderr)  # 60: the certificate did not verify
    return run.returncode == 0


@contextmanager
def presenting(cases: Sequence[Case]) -> Iterator[dict[str, int]]:
    """Serve the chain of each case, each on a port of its own, with an empty response."""
    listeners = {case.name: socket.create_server(("127.0.0.1", 0)) for case in cases}
    threads = [
        threading.Thread(target=_serve_one, args=(listeners[case.name], case.chain), daemon=True) for case in cases
    ]
    for thread in threads:
        thread.start()
    try:
        yield {name: listener.getsockname()[1] for name, listener in listeners.items()}
    finally:
        for listener in listeners.values():
            listener.close()
        for thread in threads:
            thread.join(LIMIT)


def _serve_one(listener: socket.socket, chain: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    listener.settimeout(LIMIT)
    try:
        connection, _ = listener.accept()
        connection.settimeout(LIMIT)
        with connection, context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    except OSError:
        pass  # the client refused the certificate


# Trust anchors.


def use(monkeypatch: pytest.MonkeyPatch, file: Path | str = "", directories: Path | str = "") -> None:
    """Set the variables of OpenSSL."""
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(directories))


def test_no_handshake_reads_a_trust_anchor(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The anchors of a directory are in force even when their files are gone."""
    anchors = chain.parent / "anchors"
    use(monkeypatch, directories=anchors)
    context = verifying_context()
    shutil.rmtree(anchors)
    assert has_trust_anchors(context)
    assert accepted(context, chain)


def test_no_handshake_opens_a_file(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake succeeds, or fails for the certificate's own fault, while the process has no free descriptor."""
    use(monkeypatch, directories=chain.parent / "anchors")
    trusting = verifying_context()
    use(monkeypatch)
    bare = verifying_context()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    monkeypatch.setattr(verdict, "server_context_of", lambda _: server)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
        verdicts = [verdict.judge(context, str(chain), HOST)[0] for context in (trusting, bare)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert verdicts == ["", "unable to get local issuer certificate"]


def test_the_variables_of_openssl_choose_the_trust_anchors(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, and each of several directories."""
    anchors = chain.parent / "anchors"
    use(monkeypatch, file=anchors / "0a1b2c3d.0")
    assert accepted(verifying_context(), chain)
    use(monkeypatch, directories=f"/nonexistent:{chain.parent / 'empty'}:{anchors}")
    assert accepted(verifying_context(), chain)
    use(monkeypatch)
    assert not accepted(verifying_context(), chain)
    assert not has_trust_anchors(verifying_context())


@pytest.mark.parametrize("name", ["root.pem", "0a1b2c3d", "0a1b2c3d.r0", "0A1B2C3D.0", "0a1b2c3d.0~"])
def test_a_directory_has_only_the_anchors_that_openssl_finds_in_it(
    chain: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """OpenSSL looks for the hash of a subject and a number, so a file of another name is no trust anchor."""
    anchors = chain.parent / "anchors"
    (anchors / "0a1b2c3d.0").rename(anchors / name)
    use(monkeypatch, directories=anchors)
    assert not has_trust_anchors(verifying_context())


def test_files_that_cannot_be_used_hide_no_trust_anchor(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory may contain a pipe, a dangling link, an empty file, another directory and bytes without a meaning."""
    anchors = chain.parent / "anchors"
    os.mkfifo(anchors / "00000000.0")
    (anchors / "00000000.1").symlink_to("/nonexistent")
    (anchors / "00000000.2").touch()
    (anchors / "00000000.3").mkdir()
    (anchors / "ffffffff.0").write_bytes(b"\xff\x00 no certificate")
    use(monkeypatch, file=anchors / ("x" * 300), directories=f"{anchors}:{anchors / ('y' * 300)}")
    context = verifying_context()
    assert context.cert_store_stats()["x509"] == 1
    assert accepted(context, chain)


def test_a_lack_of_descriptors_gives_no_context_without_trust_anchors(chain: Path) -> None:
    """To continue with fewer anchors would blame the server's certificate at each handshake."""
    code = """
        import os, resource
        from monitor.http.tls import verifying_context
        verifying_context()
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        try:
            print(verifying_context().cert_store_stats())
        except OSError as error:
            print(error.errno)
    """
    for variable, path in (("SSL_CERT_DIR", chain.parent / "anchors"), ("SSL_CERT_FILE", chain)):
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={"SSL_CERT_FILE": "", "SSL_CERT_DIR": "", "PATH": os.environ["PATH"], variable: str(path)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        )
        assert run.stdout.strip() == str(errno.EMFILE), run.stdout


def test_a_leaf_alone_is_a_trust_anchor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA file may contain the certificate of the host itself, which is no CA."""
    use(monkeypatch)
    leaf = issue(HOST, None, [*names(HOST), *ca_extensions(ca=False, key_usage=False)])
    (tmp_path / "ca.pem").write_bytes(leaf.pem)
    assert has_trust_anchors(verifying_context(tmp_path / "ca.pem"))


@pytest.mark.parametrize("make", [verifying_context, unverifying_context])
def test_session_keys_are_not_written(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], ssl.SSLContext]
) -> None:
    """SSLKEYLOGFILE would let the owner of the file decrypt the password."""
    file = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(file))
    use(monkeypatch, directories=chain.parent / "anchors")
    context = make()
    assert accepted(context, chain)
    assert not context.keylog_filename
    assert not file.exists()


def test_without_an_api_for_it_there_is_no_chain() -> None:
    """Another implementation of Python may not expose the verified chain."""
    other: Any = object()
    assert verified_chain(other) == []


def test_the_encoding_is_that_of_the_ssl_module() -> None:
    """The constant is in the private module only."""
    import _ssl

    assert tls._ENCODING_DER == _ssl.ENCODING_DER
