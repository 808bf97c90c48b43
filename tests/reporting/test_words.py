"""The words of sentences."""

from __future__ import annotations

import pytest

from monitor.model import Phase, Reason
from monitor.reporting.words import telling_phase

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "reason, phase, status, expected",
    [
        (Reason.TIMEOUT, Phase.CONNECT, None, Phase.CONNECT),
        (Reason.TIMEOUT, Phase.TRANSFER, 200, Phase.TRANSFER),
        (Reason.CONNECT, Phase.CONNECT, None, None),
        (Reason.SERVER_ERROR, Phase.TRANSFER, 500, None),
        (Reason.INTERNAL, None, None, None),
    ],
)
def test_a_phase_is_named_only_if_it_adds_to_the_reason(
    reason: Reason, phase: Phase | None, status: int | None, expected: Phase | None
) -> None:
    """A server error with its status is not a failure of the transfer."""
    assert telling_phase(reason, phase, status) is expected
