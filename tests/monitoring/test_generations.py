"""Reloads during an exchange: a Result of earlier settings decides nothing, and no reload waits for an exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from monitor.config.client_certificate import ClientCertificate
from monitor.config.maintenance import MaintenanceWindow
from monitor.config.settings import EnvironmentSettings, ProxySettings
from monitor.model import ClientAuth, Endpoint, FieldNames, HostCheck, Reason, Result, Role, Severity, Token
from monitor.monitoring.generation import belong_together
from monitor.monitoring.state import LoginKey
from tests.support.results import vary
from tests.support.virtual_time import CREDENTIALS, DOWN, PONG, REJECTED, VirtualTimeHarness

pytestmark = pytest.mark.once

MINUTE = 60.0
THROTTLED = vary(PONG, reason=Reason.RATE_LIMITED, status=429, retry_after=600.0)
NEW_API, NEW_TOKEN_URL = "https://elsewhere.example/ClientAPI", "https://elsewhere.example/oauth/token"
OTHER_PASSWORD = replace(CREDENTIALS, password="another")
PROXY = ProxySettings("proxy.example", 3128, None)
NEW_GENERATION: dict[str, object] = {
    "name": "other",
    "token_url": NEW_TOKEN_URL,
    "api_url": NEW_API,
    "credentials": OTHER_PASSWORD,
    "client_certificate": ClientCertificate(Path("c.pem"), Path("c.key")),
    "client_auth": ClientAuth.FORM_ENCODED,
    "token_proxy": PROXY,
    "api_proxy": PROXY,
}
SAME_GENERATION: dict[str, object] = {
    "form_fields": FieldNames.RFC6749,
    "ping_interval": 7.0,
    "auth_interval": 70.0,
    "confirm_interval": 7.0,
    "timeout": 7.0,
    "renew_margin": 7.0,
    "rejected_logins": 7,
    "token_host_check": False,
    "unauthenticated_interval": 7.0,
    "severity": Severity.CRITICAL,
    "maintenance": (MaintenanceWindow(0.0, 7.0),),
}


class Meanwhile:
    """Calls an action once, during the next request."""

    def __init__(self) -> None:
        self.action: Callable[[], object] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the action was called."""
        return self.action is None

    def __call__(self) -> bool:
        """Return whether the action was called now."""
        action, self.action = self.action, None
        if action is not None:
            action()
        return action is not None


def reloading(**changes: object) -> tuple[VirtualTimeHarness, Meanwhile]:
    """Return a harness whose next login or ping, after a token is granted, is interrupted by a reload."""
    meanwhile = Meanwhile()
    harness = VirtualTimeHarness(lambda harness, _: harness.granted())
    harness.run(MINUTE)
    meanwhile.action = lambda: harness.use(**changes)
    return harness, meanwhile


def test_every_setting_belongs_to_the_generation_unless_it_is_listed() -> None:
    """A setting that is added later belongs to it, because a dropped Result does less harm than a wrong verdict."""
    settings = VirtualTimeHarness(lambda *_: DOWN).settings
    assert {field.name for field in fields(EnvironmentSettings)} == NEW_GENERATION.keys() | SAME_GENERATION.keys()
    for name, value in NEW_GENERATION.items():
        assert not belong_together(settings, replace(settings, **{name: value})), name  # type: ignore[arg-type]
    for name, value in SAME_GENERATION.items():
        assert belong_together(settings, replace(settings, **{name: value})), name  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*sorted(NEW_GENERATION.keys() - {"name"}), "trust"])
def test_a_late_429_of_earlier_settings_delays_no_ping(name: str) -> None:
    """It is not recorded, and the next ping comes at its time."""
    harness, meanwhile = reloading(**{name: NEW_GENERATION.get(name)} if name != "trust" else {})
    if name == "trust":
        meanwhile.action = lambda: harness.environment.use(harness.settings, harness, new_trust=True)
    harness.ping_response = lambda *_: THROTTLED if meanwhile() else PONG
    harness.run(MINUTE)
    assert meanwhile.is_over
    assert Reason.RATE_LIMITED not in harness.outcomes(Endpoint.PING)
    assert harness.environment.backoff(Endpoint.PING) == 0


@pytest.mark.parametrize("name", SAME_GENERATION)
def test_a_429_decides_after_a_change_that_leaves_the_generation(name: str) -> None:
    """The pause that the server asked for holds."""
    harness, meanwhile = reloading(**{name: SAME_GENERATION[name]})
    harness.ping_response = lambda *_: THROTTLED if meanwhile() else PONG
    harness.run(MINUTE)
    assert harness.outcomes(Endpoint.PING)[-1] is Reason.RATE_LIMITED
    assert harness.environment.backoff(Endpoint.PING) > 400


OLD_PAIR = ClientCertificate(Path("c.pem"), Path("c.key"), digest="old")


@pytest.mark.parametrize("during_login", [True, False], ids=["during a login", "during a backoff"])
@pytest.mark.parametrize("name,value", [("certificate", Path("d.pem")), ("password", "p"), ("digest", "renewed")])
def test_another_client_certificate_is_used_at_once(name: str, value: object, *, during_login: bool) -> None:
    """Neither the backoff after a login with the old one nor its late Result delays the next login."""
    meanwhile = Meanwhile()
    new = replace(OLD_PAIR, **{name: value})  # type: ignore[arg-type]

    def log_in(harness: VirtualTimeHarness, _names: FieldNames) -> Result:
        if len(harness.logins()) > 1:
            return harness.granted()
        meanwhile()
        return vary(DOWN, reason=Reason.RATE_LIMITED, status=429, retry_after=900.0)

    harness = VirtualTimeHarness(log_in, logins_only=True)
    harness.use(client_certificate=OLD_PAIR)
    if during_login:
        meanwhile.action = lambda: harness.use(client_certificate=new)
    harness.run(1)
    if not during_login:
        assert harness.environment.backoff(Endpoint.TOKEN) > 800
        harness.use(client_certificate=new)
    harness.run(harness.settings.ping_interval + 1)
    assert len(harness.logins()) == 2
    assert harness.outcomes(Endpoint.TOKEN)[-1] is None


def test_a_late_429_to_an_unauthenticated_probe_delays_no_other() -> None:
    """The probe belongs to the generation too."""
    harness = VirtualTimeHarness(lambda *_: DOWN)
    meanwhile = Meanwhile()
    harness.ping_response = lambda *_: THROTTLED if meanwhile() else PONG
    meanwhile.action = lambda: harness.use(api_url=NEW_API)
    harness.run(2 * MINUTE)
    probes = [result for result in harness.results if result.run.role is Role.UNAUTHENTICATED]
    assert len(probes) >= 2
    assert {result.verdict.reason for result in probes} == {None}


def interrupted_login(late: Callable[[VirtualTimeHarness], Result], **changes: object) -> VirtualTimeHarness:
    """Return a harness whose renewal ends with `late` after a reload; later logins are granted."""
    meanwhile = Meanwhile()
    harness = VirtualTimeHarness(lambda harness, _: late(harness) if meanwhile() else harness.granted())
    harness.run(MINUTE)
    meanwhile.action = lambda: harness.use(**changes)
    harness.run(harness.settings.auth_interval)
    assert meanwhile.is_over
    return harness


def test_a_late_rejection_counts_for_its_own_credentials_only() -> None:
    """It is remembered under their fingerprint; the new credentials are not rejected."""
    harness = interrupted_login(lambda _: vary(REJECTED, names_credentials=True), credentials=OTHER_PASSWORD)
    old, new = (
        LoginKey(
            harness.settings.token_url, harness.state.fingerprint(*replace(harness.settings, credentials=each).identity)
        )
        for each in (CREDENTIALS, OTHER_PASSWORD)
    )
    assert harness.state.record(old).counted == 1
    assert harness.state.record(old).rejected
    assert harness.state.record(new).counted == 0
    assert harness.outcomes(Endpoint.TOKEN) == [None, None]
    assert not harness.environment.credentials_rejected
    harness.use(credentials=CREDENTIALS)
    assert harness.environment.credentials_rejected


@pytest.mark.parametrize("name", sorted(NEW_GENERATION.keys() - {"name"}))
def test_a_late_grant_is_not_used_but_learnt(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client in force redacts the token, and the login is repeated with the current settings."""
    late: list[Token] = []
    learnt: list[Token] = []
    monkeypatch.setattr(VirtualTimeHarness, "learn", lambda _, token: learnt.append(token))

    def grant(harness: VirtualTimeHarness) -> Result:
        result = harness.granted()
        assert result.token
        late.append(result.token)
        return result

    harness = interrupted_login(grant, **{name: NEW_GENERATION[name]})
    harness.run(harness.settings.ping_interval)
    assert late[0] in learnt
    assert all(sent.token is not late[0] for sent in harness.sent)
    assert harness.environment.token is not None
    assert harness.environment.token is not late[0]
    assert all(result.token is not late[0] for result in harness.results)


def test_the_second_request_of_a_run_is_not_sent_with_earlier_settings() -> None:
    """The first refusal came before the reload ended the generation."""
    meanwhile = Meanwhile()

    def refuse_first(harness: VirtualTimeHarness, _: FieldNames) -> Result:
        return REJECTED if meanwhile() else harness.granted()

    harness = VirtualTimeHarness(refuse_first)
    meanwhile.action = lambda: harness.use(credentials=OTHER_PASSWORD)
    harness.environment.run_login()
    assert len(harness.logins()) == 1
    assert harness.results == []


def test_a_late_check_of_the_earlier_token_host_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of a host that is no longer monitored is not exported."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted())
    harness.run(MINUTE)
    before = len(harness.checks)

    def check(checked: VirtualTimeHarness) -> HostCheck:
        checked.use(token_url=NEW_TOKEN_URL)
        return HostCheck("prod", Reason.CONNECT)

    monkeypatch.setattr(VirtualTimeHarness, "check_token_host", check)
    harness.environment.run_host_check()
    assert len(harness.checks) == before


def test_the_results_of_a_removed_environment_are_dropped() -> None:
    """A new environment of the same name does not get them, and no further login is sent."""
    harness, meanwhile = reloading()
    results = len(harness.results)
    meanwhile.action = harness.environment.end
    harness.ping_response = lambda *_: THROTTLED if meanwhile() else PONG
    harness.environment.run_ping()
    logins = len(harness.logins())
    harness.environment.run_login_now()
    assert len(harness.results) == results
    assert len(harness.logins()) == logins


@pytest.mark.parametrize("request_login", ["request_after_reload", "request_after_signal"])
def test_a_request_during_a_login_is_decided_after_it(request_login: str) -> None:
    """It does not wait, and it allows one login if the one in progress is rejected."""
    meanwhile, replies = Meanwhile(), list[bool | None]()

    def refuse(*_: object) -> Result:
        meanwhile()
        return vary(REJECTED, names_credentials=True)

    harness = VirtualTimeHarness(
        refuse, settings=replace(VirtualTimeHarness(refuse).settings, form_fields=FieldNames.RFC6749)
    )
    meanwhile.action = lambda: replies.append(getattr(harness.environment.logins, request_login)())
    harness.run(MINUTE)
    assert replies == [None]
    assert len(harness.logins()) == 2


def test_changed_limits_apply_after_the_login_in_progress() -> None:
    """A reload that raises the limit during a rejected login resumes the logins that it stopped."""
    meanwhile = Meanwhile()

    def refuse(*_: object) -> Result:
        meanwhile()
        return vary(REJECTED, names_credentials=True)

    settings = replace(VirtualTimeHarness(refuse).settings, form_fields=FieldNames.RFC6749, rejected_logins=1)
    harness = VirtualTimeHarness(refuse, settings=settings)
    meanwhile.action = lambda: harness.use(rejected_logins=3)
    harness.run(MINUTE)
    assert 0 < harness.environment.backoff(Endpoint.TOKEN) < float("inf")
    assert harness.environment.credentials_rejected
