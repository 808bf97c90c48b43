"""Tests of the values that the packages exchange."""

from __future__ import annotations

from dataclasses import fields

import pytest

from monitor.model import Measurement, Phase, Reason, Result, Role, RunOutcome, Token, Verdict
from tests.support.results import make_result, vary

pytestmark = pytest.mark.once


def test_the_parts_of_a_result_share_no_name() -> None:
    """One name means one value, so that a reader knows its part."""
    names = [field.name for part in (Measurement, Verdict, RunOutcome, Result) for field in fields(part)]
    assert len(names) == len(set(names))


def test_a_result_has_no_place_for_a_body_or_for_header_fields() -> None:
    """A Result cannot carry what the redactor has not checked."""
    names = {field.name for part in (Measurement, Verdict, RunOutcome, Result) for field in fields(part)}
    assert not {name for name in names if any(word in name for word in ("body", "header", "content", "raw"))}


def test_the_repr_of_a_result_omits_the_token() -> None:
    """Its other values are shown."""
    result = vary(make_result(), token=Token(value="canary-0123456789", lifetime=60.0, expires=60.0, expires_at=60.0))
    assert "canary" not in repr(result)
    assert "lifetime=60.0" in repr(result)


@pytest.mark.parametrize(
    "values, sent, known",
    [
        ({"status": 200}, True, True),
        ({"status": 200, "reason": Reason.MALFORMED}, True, True),
        ({"status": 200, "reason": Reason.TIMEOUT}, True, False),
        ({"status": 200, "reason": Reason.DISCONNECT}, True, False),
        ({"status": 401, "reason": Reason.UNAUTHORIZED}, True, True),
        ({"reason": Reason.TIMEOUT, "phases": {Phase.PROCESSING: 1.0}}, True, False),
        ({"reason": Reason.TLS, "phases": {Phase.TLS: 1.0}}, False, False),
        ({"reason": Reason.INTERNAL}, True, False),
    ],
)
def test_a_request_counts_as_sent_unless_the_connection_failed_before(
    values: dict[str, object], sent: object, known: object
) -> None:
    """An incomplete 200 has no known outcome, because it may be a refusal."""
    result = vary(make_result(), **values)
    assert (result.sent, result.has_known_outcome) == (sent, known)


@pytest.mark.parametrize("role", Role)
def test_only_a_decisive_exchange_decides(role: Role) -> None:
    """Another role changes nothing else."""
    result = make_result(status=503, reason=Reason.SERVER_ERROR).with_role(role)
    assert result.is_decisive is (role is Role.DECISIVE)
    assert result.verdict.reason is Reason.SERVER_ERROR
