"""The commands in the documents: every command and make target exists, and the sample of `check` is its output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.cli import main
from monitor.clock import Clock
from monitor.commands.check_text import CheckText
from monitor.commands.layout import Style
from monitor.commands.marks import Marks
from monitor.http.exchange import PhaseEnd
from monitor.model import Endpoint, Phase, Reason, Result
from monitor.reporting.check_events import CheckEvent, request_event, response_event, result_event, step_event
from monitor.tigr.observation import RequestBegin
from tests.reporting.test_metrics import PING, SETTINGS
from tests.support import blocks, documents
from tests.support.checkout import ROOT
from tests.support.results import vary
from tests.test_documentation import LOGIN, OPERATIONS, TOKEN, table

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", documents.DOCUMENTS)
def test_commands_stand_in_marked_blocks(name: str) -> None:
    """Every block is fenced and has a known mark, and no command that is more than a name stands in prose."""
    assert blocks.problems(documents.text(name)) == []


@pytest.mark.parametrize(
    "markdown,problem",
    [
        ("```\nmake a\n```\n", "line 1: unknown mark ''"),
        ("\n```sh\nmake a\n```\n", "line 2: a block of commands without the installations that it is for"),
        ("```sh pip rpm\nmake a\n```\n", "line 1: unknown installation rpm"),
        ('```sh untested="no"\nmake a\n```\n', "line 1: a block of commands without the installations that it is for"),
        (
            '```sh pip untested=""\nmake a\n```\n',
            "line 1: a block of commands without the installations that it is for",
        ),
        ("```bash pip\nmake a\n```\n", "line 1: unknown mark 'bash pip'"),
        ("A:\n\n    make a\n", "line 3: an indented block; use a fenced one"),
        ("```text\nx\n", "line 1: a fence without its other end"),
        ("- A\n  ```sh pop\n  make a\n  ```\n", "line 2: unknown installation pop"),
        ("Run `make test`.\n", "line 1: the command 'make test' belongs into a block"),
        ("Then run\n`make test`.\n", "line 2: the command 'make test' belongs into a block"),
        ("`sudo tigr-monitor status`", "line 1: the command 'sudo tigr-monitor status' belongs into a block"),
        (
            "`/opt/x/tigr-monitor check prod`",
            "line 1: the command '/opt/x/tigr-monitor check prod' belongs into a block",
        ),
    ],
)
def test_a_violation_of_the_rules_for_commands_is_found(markdown: str, problem: str) -> None:
    """Each violation is found once, with its line."""
    assert blocks.problems(markdown) == [problem]


@pytest.mark.parametrize(
    "markdown",
    [
        "```sh package pip\nmake a\n```\n",
        '```sh docker untested="needs a daemon"\nmake a\n```\n',
        "1. A:\n\n   ```text\n       x\n   ```\n",
        "```toml\na = 1\n```\n",
        "`make test` and `tigr-monitor check` are named, and `tigr-monitor` too.\n",
        "| `make release VERSION=1` | runs `make test` |\n",
    ],
)
def test_marked_blocks_and_names_of_commands_are_accepted(markdown: str) -> None:
    """Blocks with known marks, names of commands in prose and commands in tables violate no rule."""
    assert blocks.problems(markdown) == []


TERMINAL = "asks on a terminal: tests/system/systemd/test_secrets.py types the "
UNTESTED = {
    "CONTRIBUTING.md": [
        "runs every test",
        "needs Chromium and changes the images",
        "needs root and takes minutes",
        "makes a release",
        "changes the configuration of git",
        *["needs a release and its key"] * 2,
        *["needs a release"] * 4,
        "needs a vulnerability database",
    ],
    "README.md": [f"{TERMINAL}replies"],
    "docs/alerting.md": [
        "runs the tests themselves",
        "builds Prometheus with Go, from the network",
        "takes twenty minutes",
    ],
    "docs/install.md": [
        f"{TERMINAL}replies",
        "needs the images of Prometheus, Alertmanager and Grafana",
        "needs the registry of the base image",
        "needs the registry of the images",
        *["needs systemd with Podman 4.4"] * 4,
    ],
    "docs/operations.md": ["needs a second machine", f"{TERMINAL}reply"],
}


def test_every_block_that_no_test_runs_is_known() -> None:
    """The list grows only on purpose."""
    reasons = {
        name: [block.untested for block in blocks.fenced(documents.text(name)) if block.untested]
        for name in documents.DOCUMENTS
    }
    assert {name: listed for name, listed in reasons.items() if listed} == UNTESTED


@pytest.mark.parametrize("name", documents.DOCUMENTS)
def test_every_make_target_in_a_document_exists(name: str) -> None:
    """Each command with make, in a block or in the text, names a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"(?:^ *|`)make ([a-z-]+)", documents.text(name), re.MULTILINE)
    assert [target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    assert name != "CONTRIBUTING.md" or {"help", "test", "lint", "test-system", "soak"} <= set(named)
    assert name != "README.md" or {"demo", "test"} <= set(named)


def test_the_sample_of_check_is_its_output() -> None:
    """The sample shows what `check` prints of such a login and such a ping, letter by letter."""
    login_phases, ping_phases = (0.0002, 0.0001, 0.0012, 0.017, 0.0), (0.0031, 0.0001, 0.0012, 0.0139, 0.0)
    login = vary(
        LOGIN,
        environment="uat",
        duration=0.018,
        token=replace(TOKEN, lifetime=3600.0),
        phases=dict(zip(Phase, login_phases, strict=True)),
    )
    ping = vary(
        PING,
        environment="uat",
        duration=0.018,
        reason=Reason.FORBIDDEN,
        status=403,
        detail="Simulated403: a simulated fault",
        error_code="Simulated403",
        submission_id="sim-daa9284ee23d",
        failed_phase=Phase.TRANSFER,
        phases=dict(zip(Phase, ping_phases, strict=True)),
    )
    (sample,) = documents.blocks(documents.section(OPERATIONS, "Output of check"), "text")
    text = CheckText(Style(), Marks(), Clock(now=lambda: 0.0, wall=lambda: 0.0))
    printed = [line for event in (*events(login), *events(ping)) for line in text.lines(event)]
    assert sample.strip() == "\n".join(printed)


def events(result: Result) -> Iterator[CheckEvent]:
    """Yield the events of a request over TLS with this Result."""
    is_login = result.endpoint is Endpoint.TOKEN
    url = SETTINGS.token_url if is_login else SETTINGS.api_url
    begin = RequestBegin(result.endpoint, url, result.field_names, has_token=not is_login)
    yield request_event(result.environment, begin)
    facts = ("192.0.2.10" if is_login else "192.0.2.20", "TLSv1.3", 57.5 * 86400)
    for phase, seconds in result.measurement.phases.items():
        yield step_event(result.environment, PhaseEnd(phase, seconds, *facts))
    yield response_event(result, url, has_token=not is_login, was_sent=True)
    yield result_event(result, url)


def test_every_command_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has the commands that `tigr-monitor --help` lists."""
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([a-z-]+) {2,}\S", capsys.readouterr().out, re.MULTILINE)
    named = [cell.strip("`").split()[1] for cell, _ in table(OPERATIONS, "command")]
    assert len(listed) >= 5
    assert sorted(named) == sorted(listed)
