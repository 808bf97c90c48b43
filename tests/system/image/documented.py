"""The documented blocks for containers, with podman instead of docker, and those for Kubernetes in it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.support import documents
from tests.support.process import wait_for
from tests.system.image.podman import Podman
from tests.system.transcript import DocumentedBlock, Outcome, ShellState, documented_blocks

# The order in which a reader needs them; the last one ends with the removal.
ORDER = ("README.md", "docs/install.md", "docs/configuration.md", "prometheus/RUNBOOK.md", "docs/operations.md")
RUNBOOK = "prometheus/RUNBOOK.md"
EXEC = "docker exec tigr-monitor"
# The runbook is for a failure, which these commands report with their status.
EXPECTED = {f"{EXEC} tigr-monitor status": 1, f"{EXEC} tigr-monitor check": 1}
PATIENCE = 60.0  # seconds
# `docker`, and `podman` in a document, with the store of the test. The container has the network of this machine
# instead of a published port, and the limits and settings of the test in addition to the options of the document.
_WRAPPER = """#!/bin/bash
export PATH={path}  # without this script
exec 10>&-  # of the marks in the transcript: the process that keeps a container keeps every descriptor above 2 open
podman=({podman})
case "$1" in
build) shift; exec {build} "$@" ;;
run)
    shift; options=()
    while [ $# -gt 0 ]; do
        if [ "$1" = --publish ]; then shift; else options+=("$1"); fi
        shift
    done
    exec "${{podman[@]}}" run {options} "${{options[@]}}" ;;
*) exec "${{podman[@]}}" "$@" ;;
esac
"""
_KUBECTL = re.compile(r"^kubectl exec --namespace \S+ deployment/tigr-monitor -- ", re.MULTILINE)


@dataclass
class Walk:
    """The reader of the documents in a clone."""

    store: Podman
    simulator: Simulator
    folder: Path
    clone: Path
    outcomes: dict[DocumentedBlock, Outcome] = field(default_factory=dict)

    def run(self, options: list[str]) -> None:
        """Run every block; `options` are additional ones for each container."""
        self._state = ShellState(self.folder, self.folder)
        self._write_wrappers(options)
        document = ""
        for each in documented_blocks(ORDER, "docker", "kubernetes"):
            if each.document != document:
                self._open(each.document)
                document = each.document
            if text := self._text(each):
                self.outcomes[each] = outcome = self._run(each, text)
                with (self.folder / "transcript").open("a") as transcript:  # for the reader of a failed test
                    transcript.write(f"=== {each} {outcome}\n")

    def _write_wrappers(self, options: list[str]) -> None:
        build = [part for part in self.store.build(self.clone) if not part.startswith("--format")]
        for name in ("docker", "podman"):
            file = self.folder / "bin" / name
            file.parent.mkdir(exist_ok=True)
            build_options = [*build, *(["--format=docker"] if name == "docker" else [])]
            texts = {
                "podman": self.store.command(),
                "build": build_options,
                "options": options,
                "path": [os.environ["PATH"]],
            }
            file.write_text(_WRAPPER.format(**{key: shlex.join(parts) for key, parts in texts.items()}))
            file.chmod(0o755)

    def _open(self, document: str) -> None:
        """Begin a document: a reader of the runbook has a failure."""
        faults = self.simulator.environment("prod").api_faults
        if document == RUNBOOK:
            faults.set(Status(503))
            wait_for(lambda: self._succeeds("tigr-monitor evidence"), "an incident is open", PATIENCE)
        else:
            faults.clear()

    def _text(self, each: DocumentedBlock) -> str:
        """Return the commands; of a block for Kubernetes, those that run in the container."""
        if "kubernetes" not in each.block.installations:
            return each.block.text
        inside = [line for line in each.block.text.splitlines() if _KUBECTL.match(line)]
        return _KUBECTL.sub(f"{EXEC} ", "\n".join(inside))

    def _run(self, each: DocumentedBlock, text: str) -> Outcome:
        if "docker run" in text:
            self._shell("docker rm --force tigr-monitor; rm -rf secrets")
            self._write_secrets()
        if re.search(r"tigr-monitor (status|check)$", text, re.MULTILINE) and "docker run" not in text:
            wait_for(
                lambda: each.document == RUNBOOK or self._succeeds("tigr-monitor status"), "all are well", PATIENCE
            )
        outcome = self._shell(text, "secret")
        if "make image" in text and "docker rm" in text:  # the text refers to the block that starts the container
            (start,) = (block for block in documents.blocks(documents.text("docs/install.md")) if "docker run" in block)
            self._shell(start)
        return outcome

    def _write_secrets(self) -> None:
        """Run the documented commands, and the last one again for each secret."""
        (block,) = (block for block in documents.blocks(documents.text("docs/install.md")) if "secrets/tigr_" in block)
        self._shell(block.splitlines()[0])
        for environment in self.simulator.environments.values():
            for name, secret in environment.secrets().items():
                command = block.splitlines()[-1].replace("tigr_environments__prod__password", name.lower())
                assert self._shell(command, secret).failures == {}

    def _succeeds(self, command: str) -> bool:
        return self._shell(f"{EXEC} {command}").failures == {}

    def _shell(self, block: str, typed: str = "") -> Outcome:
        environ = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        ended = subprocess.run(
            ["bash", "-c", self._state.script(block, str(self.clone))],
            input=typed,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return self._state.outcome(ended.stdout)
