"""Roots of Debian releases: each is created once per run of pytest, and each machine changes a layer above it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.systemd.machine import booted

# The packages of every Debian that boots. Tests run the program ss of iproute2.
_MINIMAL = ("systemd", "systemd-sysv", "dbus", "libseccomp2", "iproute2")
# The packages that the documented commands install, for machines whose subject is the service.
_DOCUMENTED = ("python3-venv", "ca-certificates", "curl", "prometheus", "prometheus-alertmanager")
_INSTALL = f"apt-get install --quiet --quiet --yes --no-install-recommends {' '.join(_DOCUMENTED)}"
# The lists of packages and the downloaded packages stay in the caches of apt, so that each is downloaded once.
_CACHED = (
    "--skip=cleanup/apt",
    f'--customize-hook=chroot "$1" {_INSTALL} --download-only',
    """--customize-hook=echo 'Acquire::Languages "none";' > "$1/etc/apt/apt.conf.d/no-translations\"""",
)
# Debian starts installed services, except if this program forbids it.
_POLICY = "/usr/sbin/policy-rc.d"
_ADD_DOCUMENTED = f"""
printf '#!/bin/sh\\nexit 101\\n' > {_POLICY}
chmod 755 {_POLICY}
DEBIAN_FRONTEND=noninteractive {_INSTALL}
rm {_POLICY}
"""


def create(suite: str, root: Path, packages: Sequence[str], *options: str) -> None:
    """Create the root of a Debian with additional packages; `suite` is its code name."""
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", *options]
    subprocess.run([*command, suite, root], check=True)
    root.joinpath("etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")  # as the installer of Debian does


@contextmanager
def layer(directory: Path, *lower: Path) -> Iterator[Path]:
    """Yield a copy of these layers, the upper one first; it ends with the block, and its changes stay in `upper`.

    Nothing waits until it is on the disk (`volatile`): dpkg does so after each package, which takes most of the time of
    an installation, and a root that is lost in a crash is no loss.
    """
    root, upper, work = (directory / name for name in ("root", "upper", "work"))
    for path in (root, upper, work):
        path.mkdir(parents=True)
    options = f"volatile,lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", root], check=True)


@contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """Yield an empty layer."""
    empty = directory / "empty"
    empty.mkdir()
    with layer(directory, empty) as root:
        yield root


@dataclass
class Roots:
    """The layers of each release: the bare Debian, and the packages that the documented commands install."""

    make_directory: Callable[[str], Path]
    _bare: dict[str, Path] = field(default_factory=dict)
    _documented: dict[str, Path] = field(default_factory=dict)

    @contextmanager
    def bare(self, suite: str) -> Iterator[Path]:
        """Yield the root of a Debian that boots; `suite` is its code name."""
        with self._removed(self._bare_layer(suite)) as root:
            yield root

    @contextmanager
    def documented(self, suite: str) -> Iterator[Path]:
        """Yield such a root with the packages that the documented commands install."""
        if suite not in self._documented:
            directory = self.make_directory(f"documented-{suite}")
            with (
                layer(directory, self._bare_layer(suite)) as root,
                booted(root, directory / "log") as machine,
            ):
                machine.run(_ADD_DOCUMENTED)
            self._documented[suite] = directory / "upper"
        with self._removed(self._documented[suite], self._bare_layer(suite)) as root:
            yield root

    def remove(self) -> None:
        """Remove all files."""
        for upper in (*self._bare.values(), *self._documented.values()):
            shutil.rmtree(upper.parent)

    @contextmanager
    def _removed(self, *lower: Path) -> Iterator[Path]:
        """Yield a root above these layers, and remove its files at the end."""
        directory = self.make_directory("machine")
        with layer(directory, *lower) as root:
            yield root
        shutil.rmtree(directory)

    def _bare_layer(self, suite: str) -> Path:
        if suite not in self._bare:
            directory = self.make_directory(f"bare-{suite}")
            with scratch(directory) as root:
                create(suite, root, _MINIMAL, *_CACHED)
            self._bare[suite] = directory / "upper"
        return self._bare[suite]
