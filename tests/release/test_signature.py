"""The signature of a release, made with a key of its own and verified with the documented commands."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path

import pytest

from release import checksums
from release.__main__ import release
from release.errors import CannotReleaseError
from tests.support import documents
from tests.support.checkout import git
from tests.support.release_clone import make_clone

pytestmark = [pytest.mark.system, pytest.mark.needs("ssh-keygen", "sha256sum")]

DAY = dt.date(2026, 1, 31)
ADDRESS = "maintainer@example.com"
VERIFY = documents.text("CONTRIBUTING.md").split("\n### Verify a release\n")[1].split("\n### ")[0]


def run(script: str, directory: Path) -> str:
    """Run commands; return what they print."""
    command = ["bash", "-euc", script]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository that can be released."""
    return make_clone(tmp_path)


@pytest.fixture
def key(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a key that git signs with in the clone."""
    path = tmp_path_factory.mktemp("key") / "id_ed25519"
    run(f"ssh-keygen -q -t ed25519 -N '' -C '' -f '{path}'", clone)
    git(clone, "config", "gpg.format", "ssh")
    git(clone, "config", "user.signingKey", f"{path}.pub")
    return path


def test_a_release_is_verified_with_the_documented_commands(clone: Path, key: Path) -> None:
    """The commands for users accept tag, checksums and files, and refuse each after a change."""
    release(clone, "7.0.1", DAY, sign=True)
    dist = clone / "dist"
    (dist / "tigr-monitor_7.0.1+deb13_amd64.deb").write_bytes(b"a package")
    checksums.write(dist)
    tag, _, files, _ = documents.blocks(VERIFY)
    allowed = f"{ADDRESS} {key.with_suffix('.pub').read_text()}"
    for directory in (clone, dist):
        (directory / "allowed_signers").write_text(allowed)
    run(f"ssh-keygen -q -Y sign -n file -f {key}.pub SHA256SUMS", dist)
    assert f'Good "git" signature for {ADDRESS}' in run(tag.replace("1.2.3", "7.0.1"), clone)
    output = run(files, dist)
    assert len(re.findall(r": OK$", output, re.MULTILINE)) == 4

    (wheel,) = dist.glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(AssertionError, match=r"whl: FAILED"):
        run(files, dist)
    (dist / "SHA256SUMS").write_text("")
    with pytest.raises(AssertionError, match=r"incorrect signature|Signature verification failed"):
        run(files, dist)
    git(clone, "tag", "--force", "--annotate", "--no-sign", "--message", "x", "v7.0.1")
    with pytest.raises(AssertionError, match="no signature"):
        run(tag.replace("1.2.3", "7.0.1"), clone)


def test_a_release_without_a_usable_key_changes_nothing(clone: Path, key: Path) -> None:
    """If git cannot sign, the command fails before the commit and names the remedy."""
    key.unlink()
    before = git(clone, "rev-parse", "HEAD")
    with pytest.raises(CannotReleaseError, match=r"cannot be signed: .*user\.signingKey.*SIGN=no"):
        release(clone, "7.0.1", DAY, sign=True)
    assert git(clone, "rev-parse", "HEAD") == before
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "tag") == ""
