"""Assemble the package of one release, inside a root of that release: `python3 -m debian.assemble SUITE`.

`/build` contains the source code and the wheels, and gets the package. The same source code gives the same bytes: every
time is SOURCE_DATE_EPOCH, and no compiled Python file is in the package, because postinst compiles them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from debian.releases import RELEASES, Release

BUILD = Path("/build")
SOURCE, WHEELS, TOOLS, TREE = BUILD / "source", BUILD / "wheels", BUILD / "tools", BUILD / "tree"
VENV = Path("/usr/lib/tigr-monitor")  # the environment is created in its final place, whose path is in its scripts
PROGRAM = "/usr/bin/tigr-monitor"
SHARE, DOCUMENTATION = "usr/share/tigr-monitor", "usr/share/doc/tigr-monitor"
# Copied with the paths that they have in the repository, so that commands and links of the documents are the same.
SHARED = (
    "grafana/tigr-connectivity.json", "grafana/provisioning/*/*.yml",
    "prometheus/*.yml", "prometheus/rules/*", "prometheus/templates/*",
    "systemd/encrypted-secrets.conf", "systemd/reread-secrets.conf",
)  # fmt: skip
DOCUMENTS = ("*.md", "THIRD-PARTY.txt", "docs/*.md", "docs/images/*", "grafana/README.md", "prometheus/RUNBOOK.md")
SCRIPTS = ("postinst", "prerm", "postrm")
CONFFILE = "etc/tigr-monitor/tigr-monitor.toml"
CONTROL = """\
Package: tigr-monitor
Version: {version}
Architecture: {architecture}
Maintainer: The authors of tigr-monitor
Installed-Size: {size}
Depends: {python}, ca-certificates, libc6 (>= 2.34), libgcc-s1
Suggests: prometheus, prometheus-alertmanager
Section: net
Priority: optional
Description: monitor of the TIGR Registry Client API
 A service that logs in to the TIGR Registry Client API and pings it as a client
 does, and exports the results on a status page and for Prometheus. Its Python
 libraries are included, with the versions with which it was tested.
"""


def run(*command: str | Path, **environ: str) -> str:
    """Run a command with additional variables; return its standard output."""
    arguments = [str(argument) for argument in command]
    return subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | environ).stdout


def make_environment(python: str, version: str) -> Path:
    """Create the environment of the program and that of the tools; return the directory of the program's libraries."""
    run(python, "-m", "venv", TOOLS)
    pip: tuple[str | Path, ...] = (TOOLS / "bin/pip", "--disable-pip-version-check", "--no-cache-dir")
    offline = ("--quiet", "--root-user-action=ignore", "--no-index", f"--find-links={WHEELS}", "--no-deps")
    for names in (("build", "setuptools"), ("deb",)):  # the first ones build the others
        sets = [f"--requirement=requirements/{name}.txt" for name in names]
        run(*pip, "install", *offline, "--no-build-isolation", "--require-hashes", *sets)
    run(*pip, "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", f"--wheel-dir={WHEELS}", SOURCE)
    run(python, "-m", "venv", "--without-pip", VENV)
    pip = (*pip, f"--python={VENV / 'bin/python'}")
    run(*pip, "install", *offline, "--no-compile", "--require-hashes", "--requirement=requirements/demo.txt")
    run(*pip, "install", *offline, "--no-compile", f"tigr-monitor=={version}")
    run(*pip, "check")
    for path in VENV.joinpath("bin").iterdir():
        if not path.name.startswith("python") and path.name != "tigr-monitor":
            path.unlink()
    shutil.rmtree(VENV / "include")
    VENV.joinpath(".gitignore").unlink(missing_ok=True)  # Python 3.13 creates it
    # Without the version of Python with its last part, and without the command that created the environment.
    VENV.joinpath("pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (libraries,) = VENV.glob("lib/python3.*/site-packages")
    return libraries


def write(name: str, text: str, mode: int = 0o644) -> None:
    """Write a file of the package."""
    path = TREE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def copy(name: str, folder: str) -> None:
    """Copy a file of the repository into a folder of the package."""
    path = TREE / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SOURCE / name, path)


def add_files() -> None:
    """Add the units, the configuration, the rules and the documents."""
    for name in ("tigr-monitor.service", "tigr-monitor-check.service"):
        unit = SOURCE.joinpath("systemd", name).read_text(encoding="utf-8")
        write(f"usr/lib/systemd/system/{name}", unit.replace("/opt/tigr-monitor/bin/tigr-monitor", PROGRAM))
    write(CONFFILE, SOURCE.joinpath("debian/tigr-monitor.toml").read_text(encoding="utf-8"))
    for folder, patterns in ((SHARE, SHARED), (DOCUMENTATION, DOCUMENTS)):
        for pattern in patterns:
            for path in sorted(SOURCE.glob(pattern)):
                copy(str(path.relative_to(SOURCE)), folder)
    example = SOURCE.joinpath("docs/tigr-monitor.example.toml").read_text(encoding="utf-8")
    write(f"{DOCUMENTATION}/examples/tigr-monitor.toml", example)
    write(f"{DOCUMENTATION}/copyright", SOURCE.joinpath("debian/copyright").read_text(encoding="utf-8"))
    program = TREE / PROGRAM[1:]
    program.parent.mkdir(parents=True)
    program.symlink_to("../lib/tigr-monitor/bin/tigr-monitor")


def add_control(release: Release, version: str) -> None:
    """Add the description of the package, its checksums and its scripts."""
    files = sorted(path for path in TREE.rglob("*") if path.is_file() and not path.is_symlink())
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(TREE)}\n" for path in files]  # noqa: S324
    size = sum(path.stat().st_size // 1024 + 1 for path in files)  # KiB
    architecture = run("dpkg", "--print-architecture").strip()
    fields = {"version": version, "architecture": architecture, "size": size, "python": release.dependency()}
    write("DEBIAN/control", CONTROL.format(**fields))
    write("DEBIAN/md5sums", "".join(sums))
    write("DEBIAN/conffiles", f"/{CONFFILE}\n")
    for name in SCRIPTS:
        write(f"DEBIAN/{name}", SOURCE.joinpath("debian", name).read_text(encoding="utf-8"), 0o755)


def main() -> int:
    """Write the package into `/build/package`."""
    release = RELEASES[sys.argv[1]]
    os.umask(0o022)
    version = tomllib.loads(SOURCE.joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    libraries = make_environment(f"/usr/bin/python{release.python_version()}", version)
    TREE.mkdir()
    add_files()
    run(TOOLS / "bin/python", "-m", "debian.pages", TREE, PYTHONPATH=str(libraries), PYTHONDONTWRITEBYTECODE="1")
    shutil.move(VENV, TREE / VENV.relative_to("/"))
    add_control(release, release.package_version(version))
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in (TREE, *TREE.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    BUILD.joinpath("package").mkdir()
    # One thread, so that the number of processors does not change the bytes. xz makes 15 % less in ten times the time.
    compression = ("-Zzstd", "-z9", "--threads-max=1")
    run("dpkg-deb", "--root-owner-group", *compression, "--build", TREE, BUILD / "package")
    return 0


if __name__ == "__main__":
    sys.exit(main())
