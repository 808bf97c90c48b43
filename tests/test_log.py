"""Every record becomes exactly one bounded line, and messages of Python become records without their texts."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import log
from tests.support.canaries import CANARIES, leaks
from tests.support.process import clean

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)  # also surrogates and controls
LOGFMT = re.compile(r'(?:(?:^| )\w+=(?:"(?:[^"\\]|\\.)*"|[^\s"=\\]+))+\n')
VALUES = st.one_of(ANY_TEXT, st.integers(), st.floats(), st.booleans(), st.binary(max_size=50))


class Broken:
    """An object whose text cannot be computed."""

    def __str__(self) -> str:
        """Raise an exception with a secret."""
        raise RuntimeError(CANARIES.password)


def line(layout: str, message: str, *arguments: object, **values: object) -> str:
    """Return the line of one record."""
    record = logging.LogRecord("monitor", logging.INFO, "/x/place.py", 7, message, arguments, None)
    vars(record).update(log.fields(**values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "_formatter", log._Formatter(layout, journald=False))
        return log._encoded(log._line(record)).decode()


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has configured the log at level debug."""
    imports = "import logging, sys, threading, warnings\nfrom monitor import log\n"
    prepared = imports + "log.configure('debug', 'logfmt', journald=False)\n"
    return subprocess.run(
        [sys.executable, "-c", prepared + textwrap.dedent(script)],
        env=clean({}),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("layout", ["logfmt", "json"])
@given(message=ANY_TEXT, values=st.dictionaries(st.sampled_from(["detail", "code", "count"]), VALUES))
def test_any_record_is_one_line(layout: str, message: str, values: dict[str, object]) -> None:
    """Line feeds, controls, surrogates and numbers of any kind stay within one line, which a parser can read."""
    text = line(layout, "%s", message, **values)
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    if layout == "json":
        assert json.loads(text, parse_constant=pytest.fail)["level"] == "info"
    else:
        assert LOGFMT.fullmatch(text)


@pytest.mark.parametrize("layout", ["logfmt", "json"])
@pytest.mark.parametrize("text", ["x" * 10_000_000, "\U000e0001" * 100_000, "é" * 5000, '"' * 9000])
def test_a_long_line_is_cut(layout: str, text: str) -> None:
    """A cut value states its length, and JSON stays complete."""
    cut = line(layout, "%s", text, detail=text, code="short")
    assert len(cut) < 9000
    assert f"… ({len(text)} characters)" in cut
    assert "short" in cut
    if layout == "json":
        assert json.loads(cut)["code"] == "short"


@pytest.mark.parametrize("layout", ["logfmt", "json"])
@pytest.mark.parametrize(
    "message,arguments,values",
    [("%d", ("no number",), {}), ("%s %s", ("one",), {}), ("%s", (Broken(),), {}), ("x", (), {"detail": Broken()})],
    ids=["wrong type", "too few", "broken argument", "broken field"],
)
def test_a_record_that_cannot_be_formatted_is_replaced(
    layout: str, message: str, arguments: tuple[object, ...], values: dict[str, object]
) -> None:
    """The line names the place of the record and the fault, without the text of the exception."""
    text = line(layout, message, *arguments, **values)
    assert "cannot format a log record" in text
    assert "place.py:7" in text
    assert not leaks(text, [CANARIES.password])


SECRET = CANARIES.password
UNCAUGHT = {
    "main thread": (f"raise RuntimeError({SECRET!r})", "uncaught exception: RuntimeError at <string>:"),
    "thread": (
        f"""
        def fail(): raise RuntimeError({SECRET!r})
        thread = threading.Thread(target=fail, name="probe")
        thread.start()
        thread.join()
        """,
        "uncaught exception in thread probe: RuntimeError at <string>:",
    ),
    "finalizer": (
        f"""
        class Finalized:
            def __del__(self): raise RuntimeError({SECRET!r})
        Finalized()
        """,
        "ignored exception in a finalizer or callback: RuntimeError at <string>:",
    ),
    "warning": (f"warnings.warn({SECRET!r}, UserWarning)", "UserWarning at <string>:"),
    "log record": (
        f"""
        try:
            raise RuntimeError({SECRET!r})
        except RuntimeError:
            logging.getLogger("library").exception("failed")
        """,
        "failed exception=",
    ),
}
ON_STREAMS = {
    "print": f"print({SECRET!r}, file=sys.stderr)",
    "print on standard output": f"print({SECRET!r})",
    "traceback": f"""
        import traceback
        try:
            raise RuntimeError({SECRET!r})
        except RuntimeError:
            traceback.print_exc()
        """,
    "broken handler": f"""
        logger = logging.getLogger("library")
        logger.addHandler(logging.StreamHandler())
        logger.propagate = False
        logger.warning("%d", {SECRET!r})
        """,
}


@pytest.mark.parametrize("writer", ["", "log.start_writer()\n"], ids=["direct", "writer"])
@pytest.mark.parametrize("name", UNCAUGHT)
def test_a_message_of_python_is_one_record_without_its_text(name: str, writer: str) -> None:
    """Exceptions that nothing catches, and warnings, are logged with their type and place."""
    script, expected = UNCAUGHT[name]
    ended = run(writer + textwrap.dedent(script))
    assert expected in ended.stderr.replace('"', "").replace("msg=", "")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("ts=")
    assert not leaks(ended.stderr + ended.stdout, [SECRET])


@pytest.mark.parametrize("name", ON_STREAMS)
def test_output_of_a_library_is_discarded_and_reported(name: str) -> None:
    """Text for the standard streams may block and may contain a secret; a record names the place that wrote it."""
    ended = run("log.start_writer()\n" + textwrap.dedent(ON_STREAMS[name]))
    assert ended.stdout == ""
    assert "unexpected output on standard" in ended.stderr
    assert all(line.startswith("ts=") for line in ended.stderr.splitlines())
    assert not leaks(ended.stderr, [SECRET])


def test_output_of_one_place_is_reported_once() -> None:
    """A library that prints often does not fill the log."""
    ended = run("log.start_writer()\nfor _ in range(50): print('x', file=sys.stderr)")
    assert len(ended.stderr.splitlines()) == 1


def test_writes_to_a_connection_that_a_client_closed_are_not_logged() -> None:
    """The library asyncio warns of each write after the fifth; its errors are still logged."""
    ended = run(
        """
        import asyncio

        async def write():
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.transport.abort()
            for _ in range(50):
                writer.write(b"x")

        asyncio.run(write())
        logging.getLogger("asyncio").error("shown")
        """
    )
    assert [line.rpartition("msg=")[2] for line in ended.stderr.splitlines()] == ["shown"]


def test_records_before_and_after_the_writer_are_printed() -> None:
    """Records before the start of the writer, and records of functions that run at the exit, are not lost."""
    ended = run(
        """
        import atexit
        logger = logging.getLogger("monitor")
        logger.info("early")
        log.start_writer()
        atexit.register(logger.info, "at exit")
        logger.info("late")
        """
    )
    assert [line.rpartition("msg=")[2] for line in ended.stderr.splitlines()] == ["early", "late", '"at exit"']
    assert ended.returncode == 0


def test_a_failure_at_the_exit_of_python_prints_no_text() -> None:
    """Finalizers that run after the threads were stopped print nothing."""
    ended = run(
        f"""
        class Finalized:
            def __del__(self):
                warnings.warn({SECRET!r}, UserWarning)
                raise RuntimeError({SECRET!r})
        log.start_writer()
        logging.kept = Finalized()
        """
    )
    assert not leaks(ended.stderr + ended.stdout, [SECRET])
    assert ended.returncode == 0
