"""The `[[maintenance]]` tables: the windows that they give, and the messages about wrong ones."""

from __future__ import annotations

import itertools
import re
import tomllib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.maintenance import MaintenanceWindow
from monitor.config.maintenance_tables import MAX_WINDOW, read
from monitor.config.settings import describe
from monitor.config.sources import SourceValue, dotted
from tests.support import documents
from tests.support.process import run
from tests.support.settings import COMPLETE, loaded, name, only_problem, problems, write

BEGIN, END = "2030-01-31T22:00:00+01:00", "2030-02-01T02:30:00Z"
WINDOW = MaintenanceWindow(
    datetime(2030, 1, 31, 21, tzinfo=UTC).timestamp(), datetime(2030, 2, 1, 2, 30, tzinfo=UTC).timestamp()
)


def table(environment: str = '"prod"', begin: str = BEGIN, end: str = END, more: str = "") -> str:
    """Return one table; an empty value omits its line."""
    values = {"environment": environment, "begin": begin, "end": end}
    return "\n".join(["[[maintenance]]", *(f"{key} = {value}" for key, value in values.items() if value), more, ""])


def settings_of(text: str, directory: Path, **environ: str | None) -> dict[str, str | None]:
    """Return the variables of settings with this TOML file."""
    return {"TIGR_CONFIG_FILE": write(directory / "c.toml", text), **environ}


def windows(text: str, directory: Path) -> dict[str, tuple[MaintenanceWindow, ...]]:
    """Return the windows of each environment, by the settings of this TOML file."""
    environments = loaded(settings_of(text, directory)).settings.environments
    return {environment.name: environment.maintenance for environment in environments}


def text_of_window(shift: float = 0.0) -> str:
    """Return a table of prod with the times of `WINDOW`, both later by `shift` seconds."""
    begin, end = (datetime.fromtimestamp(moment + shift, UTC).isoformat() for moment in (WINDOW.begin, WINDOW.end))
    return table(begin=begin, end=end)


def test_no_maintenance_is_planned_by_default(tmp_path: Path) -> None:
    """An empty list is none, too."""
    for text in ("", "maintenance = []"):
        assert windows(text, tmp_path) == {"prod": (), "uat": ()}
        assert describe(loaded(settings_of(text, tmp_path)))[-3].split()[:2] == ["maintenance", "none"]


@pytest.mark.parametrize(
    "text",
    [
        table(),
        table(begin=f'"{BEGIN}"', end=f'"{END}"'),
        table(environment='"PROD"', begin='"2030-01-31t21:00:00.000z"', end="2030-02-01 02:30:00z"),
        table(begin='"2030-01-31 21:00:00-00:00"', end='"2030-02-01T08:00:00.0000000+05:30"'),
        "[[Maintenance]]\n" + table().split("\n", 1)[1].replace("begin", "Begin"),
        f'maintenance = [{{environment = "prod", begin = {BEGIN}, end = {END}}}]',
    ],
)
def test_a_window_begins_and_ends_at_times_with_an_offset(text: str, tmp_path: Path) -> None:
    """They are date-times of TOML, or texts in the form of RFC 3339."""
    assert windows(text, tmp_path) == {"prod": (WINDOW,), "uat": ()}


def test_windows_are_sorted_and_may_follow_each_other(tmp_path: Path) -> None:
    """The windows of two environments may overlap."""
    length = WINDOW.end - WINDOW.begin
    text = text_of_window(length) + table('"uat"') + text_of_window()
    following = MaintenanceWindow(WINDOW.end, WINDOW.end + length)
    assert windows(text, tmp_path) == {"prod": (WINDOW, following), "uat": (WINDOW,)}


def test_a_window_of_a_disabled_environment_is_valid_and_shown(tmp_path: Path) -> None:
    """The environment can be enabled again without a change of its windows."""
    read = loaded(settings_of(table('"uat"'), tmp_path, **{name("uat", "ENABLED"): "false"}))
    assert [environment.maintenance for environment in read.settings.environments] == [()]
    assert any(line.startswith("maintenance.uat ") for line in describe(read))


def test_config_shows_each_window_in_utc(tmp_path: Path) -> None:
    """Each has a row with the file as its source."""
    environ = settings_of(table(), tmp_path)
    printed = run(["config"], {name: value for name, value in (COMPLETE | environ).items() if value})
    assert printed.returncode == 0
    (row,) = [line.split(maxsplit=2) for line in printed.stdout.splitlines() if line.startswith("maintenance")]
    shown = ["maintenance.prod", "2030-01-31T21:00:00Z/2030-02-01T02:30:00Z"]
    assert row == [*shown, f"file {environ['TIGR_CONFIG_FILE']}"]


WRONG = {
    "no tables": ("maintenance = 5", "maintenance in FILE: must be [[maintenance]] tables"),
    "text": ('maintenance = "prod"', "maintenance in FILE: must be [[maintenance]] tables"),
    "a list of texts": ('maintenance = ["prod"]', "maintenance in FILE: must be [[maintenance]] tables"),
    "an empty table": ("[maintenance]", "maintenance in FILE: must be [[maintenance]] tables"),
    "another environment": (table('"nar"'), "environment of maintenance 1 in FILE: is none of the environments; these"),
    "an empty name": (table('""'), "environment of maintenance 1 in FILE: is none of the environments"),
    "no name": (table("5"), "environment of maintenance 1 in FILE: must be the name of an environment, in quotes"),
    "no environment": (table(""), "environment of maintenance 1 in FILE: is missing"),
    "no begin": (table(begin=""), "begin of maintenance 1 in FILE: is missing"),
    "no end": (table(end=""), "end of maintenance 1 in FILE: is missing"),
    "another key": (table(more='note = "x"'), "note of maintenance 1 in FILE: there is no such key; the keys are"),
    "a nested key": (table(more="begin2.x = 1"), "begin2 of maintenance 1 in FILE: there is no such key"),
    "a key in two cases": (table(more=f"Begin = {BEGIN}"), "begin of maintenance 1 in FILE: is written twice"),
    "a local time": (table(begin="2030-01-31T22:00:00"), "begin of maintenance 1 in FILE: has no offset from UTC;"),
    "a local text": (table(end='"2030-02-01T02:30:00"'), "end of maintenance 1 in FILE: has no offset from UTC;"),
    "a date": (table(begin="2030-01-31"), "begin of maintenance 1 in FILE: must be a date and time with an offset"),
    "a time": (table(begin="22:00:00"), "begin of maintenance 1 in FILE: must be a date and time with an offset"),
    "a number": (table(end="1896000000"), "end of maintenance 1 in FILE: must be a date and time with an offset"),
    "a switch": (table(end="true"), "end of maintenance 1 in FILE: must be a date and time with an offset"),
    "a list": (table(end="[]"), "end of maintenance 1 in FILE: must be a date and time with an offset"),
    "an empty text": (table(end='""'), "end of maintenance 1 in FILE: must be a date and time with an offset"),
    "a day that does not exist": (table(end='"2030-02-30T00:00:00Z"'), "end of maintenance 1 in FILE: must be a date"),
    "an hour 24": (table(end='"2030-02-01T24:00:00Z"'), "end of maintenance 1 in FILE: must be a date and time"),
    "a second 60": (table(end='"2030-02-01T00:00:60Z"'), "end of maintenance 1 in FILE: must be a date and time"),
    "an offset of a day": (table(end='"2030-02-01T00:00:00+24:00"'), "end of maintenance 1 in FILE: must be a date"),
    "a zone name": (table(end='"2030-02-01T00:00:00 CET"'), "end of maintenance 1 in FILE: must be a date and time"),
    "a week date": (table(end='"2030-W05-5T00:00:00Z"'), "end of maintenance 1 in FILE: must be a date and time"),
    "a basic format": (table(end='"20300201T000000Z"'), "end of maintenance 1 in FILE: must be a date and time"),
    "other digits": (
        table(end='"\u0662\u066030-02-01T00:00:00Z"'),
        "end of maintenance 1 in FILE: must be a date and time",
    ),
    "the year 1": (table(begin="0001-01-01T00:00:00+14:00"), "begin of maintenance 1 in FILE: must be in a year from"),
    "the year 9999": (table(end="9999-12-31T23:59:59-14:00"), "end of maintenance 1 in FILE: must be in a year from"),
    "an end at the begin": (table(end=BEGIN), "end of maintenance 1 in FILE: must be later than begin"),
    "an end before the begin": (table(begin=END, end=BEGIN), "end of maintenance 1 in FILE: must be later than begin"),
    "a wrong month": (table(end="2030-03-01T02:30:00Z"), "end of maintenance 1 in FILE: is more than 7d after begin;"),
    "the same twice": (table() * 2, "maintenance 2 in FILE: overlaps maintenance 1, of the same environment;"),
    "an overlap": (
        text_of_window(60) + text_of_window(),
        "maintenance 2 in FILE: overlaps maintenance 1, of the same environment;",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_window_has_one_message(case: str, tmp_path: Path) -> None:
    """The message names the key, the table and the file."""
    text, expected = WRONG[case]
    environ = settings_of(text, tmp_path)
    problem = only_problem(environ)
    assert problem.startswith(expected.replace("FILE", str(environ["TIGR_CONFIG_FILE"])))


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """Also those of other settings."""
    text = 'ping_interval = "x"\n' + table('"nar"', begin="2030-01-31", end="") + table() + table(more="a = 1")
    reported = "\n".join(problems(settings_of(text, tmp_path)))
    for part in ("ping_interval", "environment of maintenance 1", "begin of maintenance 1", "end of maintenance 1"):
        assert part in reported
    assert "a of maintenance 3" in reported
    assert reported.count("\n") == 4


def test_a_long_window_hides_no_overlap(tmp_path: Path) -> None:
    """A window that lies inside an earlier one does not end it."""
    long = table(end="2030-02-03T00:00:00Z")
    inside, after = text_of_window(60), text_of_window(86_400)
    reported = problems(settings_of(long + inside + after, tmp_path))
    assert ["overlaps maintenance 1" in problem for problem in reported] == [True, True]


@pytest.mark.parametrize("text", ["[maintenance]\nenvironment = 'prod'", "maintenance.prod.begin = 2030-01-01"])
def test_a_table_that_is_no_list_is_refused_with_the_right_form(text: str, tmp_path: Path) -> None:
    """The usual mistake is one pair of brackets instead of two."""
    assert "[[maintenance]] tables in the TOML file" in only_problem(settings_of(text, tmp_path))


def test_only_the_toml_file_plans_maintenance(tmp_path: Path) -> None:
    """Neither a variable nor a secret file can; the message names the place."""
    assert "[[maintenance]] tables in the TOML file" in only_problem({"TIGR_MAINTENANCE": "[]"})
    write(tmp_path / "tigr_maintenance", "[]")
    assert "[[maintenance]] tables in the TOML file" in only_problem({"TIGR_SECRETS_DIR": str(tmp_path)})


def test_a_misspelt_table_gets_a_hint(tmp_path: Path) -> None:
    """The hint is the name of the tables."""
    assert "did you mean maintenance?" in only_problem(settings_of("[[maintenence]]\nbegin = 1", tmp_path))


def test_an_environment_is_not_unknown_because_a_source_is_unreadable(tmp_path: Path) -> None:
    """The secrets directory may define it."""
    environ = settings_of(table('"nar"'), tmp_path, TIGR_SECRETS_DIR=str(tmp_path / "missing"))
    assert [problem.split(":")[0] for problem in problems(environ)] == ["TIGR_SECRETS_DIR"]


def test_a_wrong_window_ends_the_command_with_status_2(tmp_path: Path) -> None:
    """The message does not quote the value."""
    environ = settings_of(table(begin='"c4n4ry"'), tmp_path)
    ended = run(["run"], {name: value for name, value in (COMPLETE | environ).items() if value})
    assert ended.returncode == 2
    assert "begin of maintenance 1" in ended.stderr
    assert "c4n4ry" not in ended.stderr


def test_the_documented_example_is_valid(tmp_path: Path) -> None:
    """The example of the documentation plans one window."""
    section = documents.section("docs/configuration.md", "Planned maintenance")
    (example,) = documents.blocks(section, "toml")
    assert len(windows(example, tmp_path)["prod"]) == 1


VALUES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"\A20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})?\Z"),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC) | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))),
    st.dates(),
    st.integers(),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
)
TABLES = st.lists(
    st.dictionaries(st.sampled_from(["environment", "begin", "end", "End", "x"]), VALUES | st.just("prod"), max_size=4),
    max_size=5,
)


@given(TABLES)
def test_any_tables_give_windows_or_problems(tables: list[dict[str, object]]) -> None:
    """No table raises another error, and every window is of a valid length and overlaps no other."""
    planned, reported = read(SourceValue(("maintenance",), "maintenance in f", "file f", dotted, tables), {"prod"})
    assert all(re.match(r"(\S+ of )?maintenance [1-5] in f: ", problem) for problem in reported)
    assert len(tables) == sum(map(len, planned.values())) or reported
    for of_environment in planned.values():
        assert all(0 < window.end - window.begin <= MAX_WINDOW for window in of_environment)
        overlaps = [a.end > b.begin for a, b in itertools.pairwise(of_environment)]
        assert not any(overlaps) or reported


@given(st.datetimes(datetime(2000, 1, 2), datetime(9998, 12, 1)), st.integers(-1439, 1439), st.integers(1, 604_800))  # noqa: DTZ001
def test_text_and_toml_give_the_same_window(local: datetime, minutes: int, seconds: int) -> None:
    """The window has the times that were written, with any offset."""
    begin = local.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    end = begin + timedelta(seconds=seconds)
    text = table(begin=begin.isoformat(), end=f'"{end.isoformat()}"')
    source = SourceValue(("maintenance",), "m", "file f", dotted, tomllib.loads(text)["maintenance"])
    assert read(source, {"prod"}) == (
        {"prod": (MaintenanceWindow(begin.timestamp(), end.timestamp()),)},
        [],
    )
