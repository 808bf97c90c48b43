"""The sources of settings, their precedence, and the messages about missing and unknown settings."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from monitor.config.settings import describe, load
from monitor.errors import ConfigError
from monitor.model import Severity
from tests.support.settings import COMPLETE, FIELDS, NOWHERE, loaded, name, only_problem, problems, write

PASSWORD = name("prod", "PASSWORD")
PASSWORD_FILE = PASSWORD.lower()


def origin(environ: dict[str, str | None], setting: str) -> tuple[str, str]:
    """Return the displayed value and source of a setting."""
    return next((row.value, row.source) for row in loaded(environ).origins if row.name == setting)


# Defaults


def test_eight_values_are_missing_when_nothing_is_set() -> None:
    """With nothing set, only the credentials of prod and uat are reported as missing, by their full names."""
    with pytest.raises(ConfigError) as refused:
        load({}, run_secrets=NOWHERE)
    assert [problem.split(":")[0] for problem in refused.value.problems] == list(COMPLETE)
    assert all("is missing" in problem for problem in refused.value.problems)
    assert str(refused.value).count("\n") == 7


def test_prod_and_uat_need_only_credentials() -> None:
    """With credentials alone, the vendor's two environments have their URLs and every default."""
    settings = loaded({}).settings
    prod, uat = settings.environments
    assert (prod.name, prod.token_url) == ("prod", "https://apxjwtauthprod.apx.com/oauth/token")
    assert prod.api_url == "https://tigrsregistry.apx.com/ClientAPI"
    assert (uat.name, uat.token_url) == ("uat", "https://apxjwtauthuat.apx.com/oauth/token")
    assert uat.api_url == "https://tigrs-app-uat01.apx.com/clientapi"
    assert prod.credentials.client_id == "prod-client_id"
    assert uat.credentials.password == "uat-password"
    assert (prod.form_fields, prod.token_proxy, prod.api_proxy) == (None, None, None)
    assert (prod.ping_interval, prod.auth_interval, prod.confirm_interval, prod.timeout) == (30, 300, 5, 10)
    assert prod.renew_margin == 60
    assert (settings.listen_host, settings.listen_port) == ("127.0.0.1", 9844)
    assert (settings.log_level, settings.log_format) == ("info", "logfmt")
    assert (settings.ca_file, settings.state_dir, settings.web_config_file) == (None, None, None)


def test_reads_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument, `load` reads the environment of the process."""
    for variable, value in {**COMPLETE, "TIGR_TIMEOUT": "7s", "CREDENTIALS_DIRECTORY": "", "HTTPS_PROXY": ""}.items():
        monkeypatch.setenv(variable, value)
    assert load(run_secrets=NOWHERE).settings.environments[0].timeout == 7


# Environments


def test_an_environment_can_be_disabled() -> None:
    """A disabled environment is not monitored, and none of its settings is required."""
    without_uat = {name("uat", field): None for field in FIELDS} | {name("uat", "ENABLED"): "false"}
    assert [environment.name for environment in loaded(without_uat).settings.environments] == ["prod"]
    assert origin(without_uat, name("uat", "ENABLED")) == ("false", "environment")
    assert not any("UAT__PASSWORD" in line for line in describe(loaded(without_uat)))


def test_a_disabled_environment_may_be_incomplete() -> None:
    """Values of a disabled environment are not validated, but unknown names in it are reported."""
    off = {name("uat", "ENABLED"): "no", name("uat", "PASSWORD"): "", name("uat", "TOKEN_URL"): "later"}
    assert [environment.name for environment in loaded(off).settings.environments] == ["prod"]
    assert name("uat", "PASWORD") in only_problem({**off, name("uat", "PASWORD"): "x"})


def test_the_later_enabled_decides(tmp_path: Path) -> None:
    """The environment can enable what the TOML file disables, and can disable what is invalid in the TOML file."""
    config = write(tmp_path / "c.toml", "[environments.uat]\nenabled = false\n")
    enabled = {"TIGR_CONFIG_FILE": config, name("uat", "ENABLED"): "true"}
    assert [environment.name for environment in loaded(enabled).settings.environments] == ["prod", "uat"]
    config = write(tmp_path / "d.toml", "[environments.uat]\ntimeout = 'soon'\nenabled = true\n")
    disabled = {"TIGR_CONFIG_FILE": config, name("uat", "ENABLED"): "false"}
    assert [environment.name for environment in loaded(disabled).settings.environments] == ["prod"]


def test_all_disabled_is_an_error() -> None:
    """At least one environment must be enabled."""
    off = {name("prod", "ENABLED"): "off", name("uat", "ENABLED"): "0"}
    assert only_problem(off) == "every environment is disabled: there is nothing to monitor; enable at least one"


def test_an_invalid_enabled_is_an_error() -> None:
    """A typing error in ENABLED does not disable an environment."""
    assert only_problem({name("uat", "ENABLED"): "flase"}).startswith(
        "TIGR_ENVIRONMENTS__UAT__ENABLED: must be true or false (it is 'flase')"
    )


def test_prod_and_uat_come_first_then_the_others_by_name() -> None:
    """The order of environments does not depend on the order of variables."""
    more = {
        name(env, field): "https://example.test/x"
        for env in ("nar_b", "a")
        for field in (*FIELDS[1:], "TOKEN_URL", "API_URL")
    }
    ids = {name("a", "CLIENT_ID"): "a", name("nar_b", "CLIENT_ID"): "b"}
    assert [env.name for env in loaded(more | ids).settings.environments] == ["prod", "uat", "a", "nar_b"]


def test_another_environment_needs_its_urls() -> None:
    """Only prod and uat have default URLs."""
    environ = {name("nar", field): "x" for field in FIELDS}
    assert [problem.split(":")[0] for problem in problems(environ)] == [
        name("nar", "TOKEN_URL"),
        name("nar", "API_URL"),
    ]


def test_a_misspelt_environment_is_reported() -> None:
    """A typing error in the name of an environment is reported with the name that it resembles."""
    reported = problems({PASSWORD: None, name("prdo", "PASSWORD"): "x"})
    assert f"{PASSWORD}: is missing; set it, or disable prod with TIGR_ENVIRONMENTS__PROD__ENABLED=false" in reported
    assert any(problem.endswith("(or did you mean prod?)") for problem in reported)


@pytest.mark.parametrize("bad", ["NAR-EAST", "_NAR", "NÄR", "NAR EAST", ""])
def test_an_environment_has_a_plain_name(bad: str) -> None:
    """The name of an environment is a label value and a part of variables, so other characters are refused."""
    reported = problems({name(bad, "PASSWORD"): "x"})
    assert reported == [
        f"{name(bad, 'PASSWORD')}: the name of an environment consists of a-z, 0-9 and single underscores between them"
    ]


def test_the_case_of_an_environment_name_does_not_matter(tmp_path: Path) -> None:
    """PROD in a variable and Prod in the TOML file are the same environment."""
    config = write(tmp_path / "c.toml", '[environments.Prod]\nPing_Interval = "7s"\n')
    environments = loaded({"TIGR_CONFIG_FILE": config}).settings.environments
    assert [(environment.name, environment.ping_interval) for environment in environments] == [("prod", 7), ("uat", 30)]


def test_an_interval_of_one_environment_overrides_the_common_one() -> None:
    """Each interval and the timeout can be set for all environments and for a single one."""
    environ: dict[str, str | None] = {}
    for setting in ("PING_INTERVAL", "AUTH_INTERVAL", "CONFIRM_INTERVAL", "TIMEOUT"):
        environ |= {f"TIGR_{setting}": "20s", name("uat", setting): "1m"}
    prod, uat = loaded(environ).settings.environments
    assert (prod.ping_interval, prod.auth_interval, prod.confirm_interval, prod.timeout) == (20, 20, 20, 20)
    assert (uat.ping_interval, uat.auth_interval, uat.confirm_interval, uat.timeout) == (60, 60, 60, 60)
    assert origin(environ, name("uat", "TIMEOUT")) == ("1m", "environment")
    assert not any(row.name == name("prod", "TIMEOUT") for row in loaded(environ).origins)


def test_alerts_of_prod_are_critical_and_of_others_warnings() -> None:
    """Each environment can have the other severity, in any case of its letters."""
    nar = {name("nar", field): "x" for field in FIELDS}
    nar |= {name("nar", "TOKEN_URL"): "https://login.example/token", name("nar", "API_URL"): "https://api.example"}
    defaults = {each.name: each.severity for each in loaded(nar).settings.environments}
    assert defaults == {"prod": Severity.CRITICAL, "uat": Severity.WARNING, "nar": Severity.WARNING}
    chosen: dict[str, str | None] = {name("prod", "SEVERITY"): "Warning", name("uat", "SEVERITY"): "critical"}
    assert [each.severity for each in loaded(chosen).settings.environments] == [Severity.WARNING, Severity.CRITICAL]
    assert origin({}, name("prod", "SEVERITY")) == ("critical", "default")
    assert origin({}, name("uat", "SEVERITY")) == ("warning", "default")
    assert origin(chosen, name("uat", "SEVERITY")) == ("critical", "environment")


@pytest.mark.parametrize("bad", ["page", "none", "", "critical ", "warn"])
def test_another_severity_is_refused(bad: str) -> None:
    """The alerts know two severities; the message names both."""
    problem = only_problem({name("uat", "SEVERITY"): bad})
    assert problem.startswith(f"{name('uat', 'SEVERITY')}: ")
    assert "must be critical or warning" in problem or not bad


# Three sources


def test_the_later_source_wins_key_by_key(tmp_path: Path) -> None:
    """Secret files override the TOML file, the environment overrides both, and each key has its source."""
    config = write(
        tmp_path / "c.toml", 'timeout = 1\nping_interval = 1\nauth_interval = 1\n[environments.prod]\nusername = "t"'
    )
    ping = write(tmp_path / "tigr_ping_interval", "2s\n")
    write(tmp_path / "tigr_auth_interval", "2s")
    user = write(tmp_path / "tigr_environments__prod__username", "s")
    environ: dict[str, str | None] = {"TIGR_CONFIG_FILE": config, "TIGR_SECRETS_DIR": str(tmp_path)}
    environ |= {"TIGR_AUTH_INTERVAL": "3", name("prod", "USERNAME"): None}
    prod = loaded(environ).settings.environments[0]
    assert (prod.timeout, prod.ping_interval, prod.auth_interval, prod.credentials.username) == (1, 2, 3, "s")
    assert origin(environ, "TIGR_TIMEOUT") == ("1s", f"file {config}")
    assert origin(environ, "TIGR_PING_INTERVAL") == ("2s", f"secret file {ping}")
    assert origin(environ, "TIGR_AUTH_INTERVAL") == ("3s", "environment")
    assert origin(environ, name("prod", "USERNAME")) == ("set", f"secret file {user}")
    assert origin(environ, "TIGR_LOG_LEVEL") == ("info", "default")
    assert origin(environ, "TIGR_CONFIG_FILE") == (config, "environment")


def test_a_toml_file_can_contain_every_setting(tmp_path: Path) -> None:
    """A TOML file is sufficient without any other source."""
    credentials = "".join(f'{field.lower()} = "{field}"\n' for field in FIELDS)
    config = write(
        tmp_path / "c.toml",
        f'listen = ":1"\nlog_level = "DEBUG"\n[environments.prod]\n{credentials}timeout = 2.5\n'
        "[environments.uat]\nenabled = false\n",
    )
    settings = load({"TIGR_CONFIG_FILE": config}, run_secrets=NOWHERE).settings
    assert (settings.listen_host, settings.listen_port, settings.log_level) == ("", 1, "debug")
    assert [(env.name, env.timeout, env.credentials.password) for env in settings.environments] == [
        ("prod", 2.5, "PASSWORD")
    ]


def test_an_empty_table_declares_an_environment(tmp_path: Path) -> None:
    """The values of an environment with an empty table are required; an empty `[environments.prod]` changes nothing."""
    config = write(tmp_path / "c.toml", "[environments.prod]\n[environments.nar]\n")
    assert len(problems({"TIGR_CONFIG_FILE": config})) == 6
    assert len(loaded({"TIGR_CONFIG_FILE": write(tmp_path / "d.toml", "[environments]\n")}).settings.environments) == 2


def test_only_one_secrets_directory_is_read(tmp_path: Path) -> None:
    """TIGR_SECRETS_DIR takes precedence over $CREDENTIALS_DIRECTORY, which takes precedence over /run/secrets."""
    ours, systemd, docker = (tmp_path / part for part in ("ours", "systemd", "docker"))
    for directory in (ours, systemd, docker):
        directory.mkdir()
        write(directory / PASSWORD_FILE, directory.name)
    environ: dict[str, str | None] = {PASSWORD: None}

    read = loaded(environ, docker)
    assert read.settings.environments[0].credentials.password == "docker"
    assert ("TIGR_SECRETS_DIR", str(docker), "default") in [(row.name, row.value, row.source) for row in read.origins]
    assert not read.load_credential

    environ["CREDENTIALS_DIRECTORY"] = str(systemd)
    read = loaded(environ, docker)
    assert read.settings.environments[0].credentials.password == "systemd"
    assert origin(environ, "TIGR_SECRETS_DIR") == (str(systemd), "$CREDENTIALS_DIRECTORY")
    assert read.load_credential

    environ["TIGR_SECRETS_DIR"] = str(ours)
    read = loaded(environ, docker)
    assert read.settings.environments[0].credentials.password == "ours"
    assert not read.load_credential


def test_load_credential_is_recorded_only_with_our_files(tmp_path: Path) -> None:
    """`load_credential` is true only if the directory of LoadCredential contains a file with the prefix."""
    write(tmp_path / "unrelated", b"\xff\x00")
    assert not loaded({"CREDENTIALS_DIRECTORY": str(tmp_path)}).load_credential
    write(tmp_path / "tigr_timeout", "5s")
    assert loaded({"CREDENTIALS_DIRECTORY": str(tmp_path), "TIGR_SECRETS_DIR": str(tmp_path)}).load_credential


def test_files_without_the_prefix_are_ignored(tmp_path: Path) -> None:
    """A file whose name does not begin with tigr_ is not opened."""
    write(tmp_path / "server.key", b"\xff\xfe\x00")
    (tmp_path / "..data").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert loaded({"TIGR_SECRETS_DIR": str(tmp_path)}).settings.environments


def test_the_state_directory_defaults_to_systemds_first(tmp_path: Path) -> None:
    """If TIGR_STATE_DIR is not set, the first path in $STATE_DIRECTORY is used."""
    given: dict[str, str | None] = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}
    assert loaded(given).settings.state_dir == Path("/var/lib/a")
    assert origin(given, "TIGR_STATE_DIR") == ("/var/lib/a", "$STATE_DIRECTORY")
    assert loaded({**given, "TIGR_STATE_DIR": "/srv"}).settings.state_dir == Path("/srv")
    assert loaded({"STATE_DIRECTORY": ""}).settings.state_dir is None


def test_the_control_socket_is_in_the_runtime_or_the_state_directory() -> None:
    """The setting comes first, then systemd's runtime directory, then the state directory; else there is none."""
    state: dict[str, str | None] = {"TIGR_STATE_DIR": "/var/lib/a"}
    systemd = state | {"RUNTIME_DIRECTORY": "/run/a:/run/b"}
    name = "TIGR_CONTROL_SOCKET"
    assert loaded({}).settings.control_socket is None
    assert origin(state, name) == ("/var/lib/a/control.sock", "default")
    assert origin(systemd, name) == ("/run/a/control.sock", "$RUNTIME_DIRECTORY")
    assert origin(systemd | {name: "/srv/c.sock"}, name) == ("/srv/c.sock", "environment")
    assert loaded(systemd).settings.control_socket == Path("/run/a/control.sock")


# Unknown names


@pytest.mark.parametrize(
    "wrong, meant",
    [
        ("TIGR_PING_INTERVALL", "TIGR_PING_INTERVAL"),
        ("TIGR_ENVIRONMENTS__PROD__PASWORD", "TIGR_ENVIRONMENTS__PROD__PASSWORD"),
        ("TIGR_ENVIRONMENTS_UAT_PASSWORD", "TIGR_ENVIRONMENTS__UAT__PASSWORD"),
        ("TIGR_UAT_PASSWORD", "TIGR_ENVIRONMENTS__UAT__PASSWORD"),
        ("TIGR_LISTEN_PORT", "TIGR_LISTEN"),
        ("TIGR_CONFIG", "TIGR_CONFIG_FILE"),
        ("tigr_secret_dir", "TIGR_SECRETS_DIR"),
    ],
)
def test_an_unknown_variable_is_reported_with_a_similar_one(wrong: str, meant: str) -> None:
    """Every unknown variable with the prefix is reported."""
    assert only_problem({wrong: "9844"}) == f"{wrong}: there is no such setting; did you mean {meant}?"


@pytest.mark.parametrize("wrong", ["TIGR_", "TIGR_XYZZYPLUGH", "TIGR_ENVIRONMENTS", "TIGR_ENVIRONMENTS__PROD"])
def test_an_unknown_variable_without_a_similar_one_is_reported(wrong: str) -> None:
    """A variable that resembles no setting, or is only a part of a name, is reported too."""
    assert only_problem({wrong: "x"}).startswith(f"{wrong}: there is no such setting")


def test_an_unknown_toml_key_is_reported_with_its_toml_name(tmp_path: Path) -> None:
    """The message contains the dotted name that the TOML file contains."""
    config = write(
        tmp_path / "c.toml",
        'TIMEOT = 3\nenvironments.prod.pasword = "x"\nenvironments.prod.password.x = 1\n"a\\nb" = 1\n'
        "[foo]\n[[environments.uat]]\n",
    )
    reported = problems({"TIGR_CONFIG_FILE": config})
    assert reported[:2] == [
        f"TIMEOT in {config}: there is no such setting; did you mean timeout?",
        f"environments.prod.pasword in {config}: there is no such setting; did you mean environments.prod.password?",
    ]
    assert reported[2].startswith(f"environments.prod.password.x in {config}: there is no such setting")
    assert reported[3].startswith(f"environments.uat in {config}: there is no such setting")
    assert reported[4].startswith(f"a\\nb in {config}: there is no such setting")
    assert reported[5].startswith(f"foo in {config}: there is no such setting")


def test_an_unknown_secret_file_is_reported_with_its_path(tmp_path: Path) -> None:
    """A typing error in the name of a secret file is reported."""
    path = write(tmp_path / "tigr_environments__prod__pasword", "x")
    problem = only_problem({"TIGR_SECRETS_DIR": str(tmp_path)})
    assert problem == f"{path}: there is no such setting; did you mean {PASSWORD_FILE}?"


@pytest.mark.parametrize("key", ["config_file", "secrets_dir"])
def test_the_other_sources_are_located_by_the_environment_only(tmp_path: Path, key: str) -> None:
    """A TOML file cannot contain the two settings that locate the other sources."""
    config = write(tmp_path / "c.toml", f'{key} = "x"')
    problem = only_problem({"TIGR_CONFIG_FILE": config})
    assert problem.startswith(f"{key} in {config}: can be set in the environment only, as TIGR_{key.upper()}")


def test_one_setting_twice_in_one_source_is_refused(tmp_path: Path) -> None:
    """Two names that differ only by case are the same setting, so neither value is chosen."""
    problem = only_problem({"TIGR_TIMEOUT": "5s", "tigr_timeout": "6s"})
    assert problem == "tigr_timeout: is the same setting as TIGR_TIMEOUT; keep one of them"
    config = write(tmp_path / "c.toml", "Timeout = 3\ntimeout = 4\n")
    problem = only_problem({"TIGR_CONFIG_FILE": config})
    assert problem == f"timeout in {config}: is the same setting as Timeout in {config}; keep one of them"
    write(tmp_path / "TIGR_TIMEOUT", "3")
    write(tmp_path / "tigr_timeout", "3")
    assert "is the same setting as" in only_problem({"TIGR_SECRETS_DIR": str(tmp_path)})


def test_variables_that_kubernetes_injects_are_reported_once() -> None:
    """One message lists the variables of a Service called tigr-monitor, with the option that disables them."""
    injected = {
        "TIGR_MONITOR_SERVICE_HOST": "10.0.0.1",
        "TIGR_MONITOR_SERVICE_PORT": "9844",
        "TIGR_MONITOR_SERVICE_PORT_METRICS": "9844",
        "TIGR_MONITOR_PORT": "tcp://10.0.0.1:9844",
        "TIGR_MONITOR_PORT_9844_TCP": "tcp://10.0.0.1:9844",
        "TIGR_MONITOR_PORT_9844_TCP_PROTO": "tcp",
        "TIGR_MONITOR_PORT_9844_TCP_PORT": "9844",
        "TIGR_MONITOR_PORT_9844_TCP_ADDR": "10.0.0.1",
    }
    problem = only_problem(injected)
    assert problem.startswith(f"{', '.join(sorted(injected))}: set by Kubernetes")
    assert "`enableServiceLinks: false`" in problem


# Files that cannot be read


def test_a_missing_config_file_is_reported() -> None:
    """A setting that an unreadable file may contain is not reported as missing."""
    problem = only_problem({"TIGR_CONFIG_FILE": "/nonexistent/c.toml", PASSWORD: None})
    assert problem == "TIGR_CONFIG_FILE: cannot read /nonexistent/c.toml: No such file or directory"


def test_a_syntax_error_in_the_toml_file_is_reported_with_its_position(tmp_path: Path) -> None:
    """The message contains line and column, and no content of the line, which may be a secret."""
    config = write(tmp_path / "c.toml", "timeout = 3\n[environments.prod]\npassword = hunter2secret\n")
    problem = only_problem({"TIGR_CONFIG_FILE": config, PASSWORD: None})
    assert problem == f"{config}: is not valid TOML, see line 3, column 12 (text needs quotes)"


@pytest.mark.parametrize("content", [b"a = " + b"9" * 5000, b"a = " + b"[" * 20000, b".".join([b"a"] * 2000) + b" = 1"])
def test_a_toml_file_that_the_parser_cannot_process_is_refused(tmp_path: Path, content: bytes) -> None:
    """An exception of the parser other than a syntax error is reported in the same way."""
    config = write(tmp_path / "c.toml", content)
    assert only_problem({"TIGR_CONFIG_FILE": config}).startswith(f"{config}: is not valid TOML")


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    """Editors on Windows write one to the TOML file and to secret files."""
    config = write(tmp_path / "c.toml", b'\xef\xbb\xbftimeout = 7\r\nlog_level = "debug"\r\n')
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    write(secrets / PASSWORD_FILE, b"\xef\xbb\xbfp\xc3\xa4ss\n")
    settings = loaded({"TIGR_CONFIG_FILE": config, "TIGR_SECRETS_DIR": str(secrets), PASSWORD: None}).settings
    prod = settings.environments[0]
    assert (prod.timeout, settings.log_level) == (7.0, "debug")
    assert prod.credentials.password == "p\u00e4ss"


def test_a_toml_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """A TOML file that is not UTF-8 is reported."""
    config = write(tmp_path / "c.toml", 'a = "ä"'.encode("latin-1"))
    assert only_problem({"TIGR_CONFIG_FILE": config}) == f"{config}: is not UTF-8, which TOML must be"


@pytest.mark.parametrize("setting", ["TIGR_SECRETS_DIR", "CREDENTIALS_DIRECTORY"])
def test_a_missing_secrets_directory_is_reported(setting: str) -> None:
    """A configured directory must exist; a setting that it may contain is not reported as missing."""
    problem = only_problem({setting: "/nonexistent/s", PASSWORD: None})
    assert problem == f"{setting}: cannot read the directory /nonexistent/s: No such file or directory"


def test_an_unreadable_secret_file_is_reported(tmp_path: Path) -> None:
    """The message contains the path and no content, and the setting is not reported as missing."""
    (tmp_path / PASSWORD_FILE).symlink_to(tmp_path / PASSWORD_FILE)
    (tmp_path / name("prod", "USERNAME").lower()).mkdir()
    write(tmp_path / name("prod", "CLIENT_ID").lower(), b"caf\xe9hunter2")
    write(tmp_path / name("prod", "CLIENT_SECRET").lower(), b"x" * 70000)
    reported = problems({"TIGR_SECRETS_DIR": str(tmp_path), **{name("prod", field): None for field in FIELDS}})
    start = f"{tmp_path}/tigr_environments__prod__"
    assert reported == [
        f"{start}client_id: is not UTF-8",
        f"{start}client_secret: cannot be read: it is larger than 65536 bytes",
        f"{start}password: cannot be read: Too many levels of symbolic links",
        f"{start}username: cannot be read: it is a directory, and only regular files are read",
    ]


def test_a_failed_read_of_a_secret_file_is_reported_with_the_errno_text(tmp_path: Path) -> None:
    """The message contains the text of the system error; this file can be opened, but not read."""
    (tmp_path / PASSWORD_FILE).symlink_to("/proc/self/mem")
    problem = only_problem({"TIGR_SECRETS_DIR": str(tmp_path)})
    assert problem == f"{tmp_path / PASSWORD_FILE}: cannot be read: Input/output error"


@pytest.mark.parametrize("setting", ["TIGR_CONFIG_FILE", "TIGR_SECRETS_DIR"])
@pytest.mark.parametrize("value, why", [("", "is empty; "), ("a\0b", "has a NUL in it"), ("\udcff", "is not UTF-8")])
def test_the_path_of_a_source_must_be_valid(setting: str, value: str, why: str) -> None:
    """A setting that locates a source, but is no valid path, is reported by its name."""
    assert only_problem({setting: value}).startswith(f"{setting}: {why}")


# All problems at once


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    """One run reports the problems of all sources."""
    config = write(tmp_path / "c.toml", 'timeout = "soon"\nlog_levl = "info"\n')
    reported = problems(
        {
            "TIGR_CONFIG_FILE": config,
            "TIGR_PING_INTERVAL": "0",
            "TIGR_LISTN": "x",
            "TIGR_LISTEN": "x",
            name("prod", "API_URL"): "http://example.test",
            name("prod", "CLIENT_ID"): "a:b",
            PASSWORD: None,
            "HTTPS_PROXY": "socks5://localhost:1",
        }
    )
    assert [problem.split(":")[0] for problem in reported] == [
        f"log_levl in {config}",
        "TIGR_LISTN",
        "TIGR_PING_INTERVAL",
        f"timeout in {config}",
        "TIGR_LISTEN",
        name("prod", "API_URL"),
        name("prod", "CLIENT_ID"),
        PASSWORD,
        "HTTPS_PROXY",
    ]


def test_the_locations_of_the_trust_anchors_are_displayed(tmp_path: Path) -> None:
    """The variables of OpenSSL change which servers are trusted."""
    file = write(tmp_path / "anchors.pem", "")
    assert origin({"SSL_CERT_FILE": file}, "SSL_CERT_FILE") == (file, "environment")
    assert origin({"SSL_CERT_DIR": f"/nonexistent:{tmp_path}"}, "SSL_CERT_DIR") == (
        f"/nonexistent:{tmp_path}",
        "environment",
    )
    assert origin({"SSL_CERT_FILE": "/nonexistent"}, "SSL_CERT_FILE") == ("/nonexistent (missing)", "environment")
    assert origin({"SSL_CERT_DIR": ""}, "SSL_CERT_DIR") == ("none", "environment")
    built_in = ssl.get_default_verify_paths()
    for variable, path in (("SSL_CERT_FILE", built_in.openssl_cafile), ("SSL_CERT_DIR", built_in.openssl_capath)):
        value, source = origin({}, variable)
        assert (value.removesuffix(" (missing)"), source) == (path, "default")
    assert "\x1b" not in origin({"SSL_CERT_FILE": "/\x1b[2J"}, "SSL_CERT_FILE")[0]


def test_effective_settings_are_displayed_in_columns() -> None:
    """Every setting has a line with its name, value and source in aligned columns."""
    lines = describe(loaded({"TIGR_LISTEN": "[::1]:9844", name("uat", "ENABLED"): "false"}))
    assert len(lines) == 19 + 10 + 1 + 1 + 2  # a disabled environment has one line, and OpenSSL two variables
    listen = next(line for line in lines if line.startswith("TIGR_LISTEN "))
    assert listen.split() == ["TIGR_LISTEN", "[::1]:9844", "environment"]
    assert {line.index(line.split()[2]) for line in lines} == {listen.index("environment")}
