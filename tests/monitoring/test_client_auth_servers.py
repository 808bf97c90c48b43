"""HTTP Basic with special characters in the client secret, on every server whose decoding was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.model import ClientAuth
from monitor.simulator.personalities import PERSONALITIES
from tests.reporting.test_metrics import SETTINGS
from tests.support.virtual_server import MINUTE, RIGHT, VirtualServerHarness

pytestmark = pytest.mark.once

RAW, FORM_ENCODED = ClientAuth.RAW, ClientAuth.FORM_ENCODED
BOTH, ONLY_RAW, ONLY_ENCODED = {RAW, FORM_ENCODED}, {RAW}, {FORM_ENCODED}
SECRETS = [("+", "s3+cr3t"), ("%", "s3%cr3t"), ("%", "s3%41cr3t"), ("blank", "s3 cr3t")]
# The forms that each server grants, by the character that the secret contains (measured; a blank is sent as `%20`).
TAKEN = {
    "keycloak": {"+": ONLY_ENCODED, "%": ONLY_ENCODED, "blank": BOTH},
    "django-oauth-toolkit": {"+": ONLY_ENCODED, "%": ONLY_ENCODED, "blank": BOTH},
    "fosite": {"+": ONLY_ENCODED, "%": ONLY_ENCODED, "blank": BOTH},
    "oidc-provider": {"+": ONLY_ENCODED, "%": ONLY_ENCODED, "blank": BOTH},
    "authlib": {"+": BOTH, "%": ONLY_ENCODED, "blank": BOTH},
    "spring-legacy": {"+": ONLY_RAW, "%": ONLY_RAW, "blank": ONLY_RAW},
    "go-oauth2": {"+": ONLY_RAW, "%": ONLY_RAW, "blank": ONLY_RAW},
    "node-oauth2-server": {"+": ONLY_RAW, "%": ONLY_RAW, "blank": ONLY_RAW},
}
CASES = [
    pytest.param(name, secret, form, form in taken[character], id=f"{name}-{secret}-{form}")
    for name, taken in TAKEN.items()
    for character, secret in SECRETS
    for form in ClientAuth
    if (name, secret, form) != ("authlib", "s3%cr3t", RAW)  # status 500, which is no refusal
]


@pytest.mark.parametrize("name, secret, form, accepted", CASES)
def test_a_form_of_the_client_secret_logs_in_or_the_other_is_named(
    name: str, secret: str, form: ClientAuth, *, accepted: bool
) -> None:
    """A server grants the forms that it decodes; a login that it refuses names the other setting of CLIENT_AUTH."""
    harness = first_minute(name, secret, form)
    assert bool(harness.granted_at()) is accepted
    refused = [result for result in harness.login_runs() if result.verdict.refused]
    other = RAW if form is FORM_ENCODED else FORM_ENCODED
    assert {result.verdict.other_client_auth for result in refused} == (set() if accepted else {other})


def test_a_server_that_fails_on_a_percent_sign_names_no_setting() -> None:
    """Authlib responds with 500 to a `%` that begins no escape, and a server error is not read as a refusal."""
    harness = first_minute("authlib", "s3%cr3t", RAW)
    assert {result.measurement.status for result in harness.login_results()} == {500}
    assert {result.verdict.other_client_auth for result in harness.login_results()} == {None}


def first_minute(name: str, secret: str, form: ClientAuth) -> VirtualServerHarness:
    """Return the first minute with a server whose client has this secret, sent in this form."""
    credentials = replace(RIGHT, client_secret=secret)
    settings = replace(SETTINGS, client_auth=form)
    harness = VirtualServerHarness(PERSONALITIES[name], credentials, server_credentials=credentials, settings=settings)
    harness.run(MINUTE)
    return harness
