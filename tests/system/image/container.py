"""A container of the image under test, confined as the documents describe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from monitor import __version__
from tests.support.harness import value
from tests.support.process import get
from tests.system.image.podman import Podman

IMAGE = f"tigr-monitor:{__version__}"
FIRST = f"{IMAGE}-first"  # the same, also after the documented commands have built it again
REVISION = "0123456789abcdef"
PORT = 9844
PATIENCE = 30.0  # seconds
# Tests cannot raise these limits, and podman's defaults would raise them.
LIMITS = ["--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
NO_CORE_DUMPS = "--ulimit=core=0:0"
CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", NO_CORE_DUMPS, "--network=host"]


@contextmanager
def container(store: Podman, *options: str, image: str = IMAGE) -> Iterator[str]:
    """Run a container in the background; yield its name."""
    name = "under-test"
    store.podman("run", "--detach", "--name", name, *LIMITS, *CONFINED, *options, image)
    try:
        yield name
    finally:
        store.podman("rm", "--force", "--volumes", name)


def up(environment: str) -> bool:
    """Return True if the most recent ping of an environment succeeded."""
    try:
        return value(get(PORT, "/metrics")[1], "tigr_up", environment=environment, endpoint="ping") == 1
    except OSError:
        return False


def no_core_dumps(store: Podman, name: str) -> bool:
    """Return True if neither the monitor in a container nor a program that is started there can write a core dump."""
    limits = store.podman("exec", name, "cat", "/proc/1/limits").stdout
    other = store.podman("exec", name, "sh", "-c", "ulimit -Hc").stdout
    return bool(re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)) and other == "0\n"
