"""A process that sends probes at once, for tests that stop it.

`python -m tests.support.stopped_client TIMEOUT CA URL...`, with the timeout in seconds. The last part of each URL is
`token`, `ping` or `check`. The first line of the output is the moment before the first probe (`time.monotonic`). One
JSON object per URL follows: the Result of its probe, or the fault of a connection check.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from monitor.http.client import HttpClient
from monitor.http.tls import verifying_context
from monitor.model import FieldNames
from monitor.tigr.client import TigrClient
from tests.reporting.test_metrics import SETTINGS


def probe(http_client: HttpClient, url: str, timeout: float) -> dict[str, object]:
    """Send one probe to `url`, and return the content of its Result."""
    if url.endswith("/check"):
        check = http_client.check_connection(url, None, timeout)
        fault = {"reason": check.fault, "detail": check.fault_detail, "phase": check.phase, "status": None}
        return {**fault, "duration": check.duration, "phases": check.duration, "refused": False}
    settings = replace(SETTINGS, token_url=url, api_url=url.removesuffix("/ping"), timeout=timeout)
    client = TigrClient(settings, http_client)
    result = client.ping(None) if url.endswith("/ping") else client.log_in(FieldNames.DOCUMENTED)
    return {
        "reason": result.verdict.reason,
        "phase": result.measurement.failed_phase,
        "status": result.measurement.status,
        "duration": result.measurement.duration,
        "phases": sum(result.measurement.phases.values()),
        "token": result.token is not None,
        "retry_after": result.verdict.retry_after,
        "refused": result.verdict.refused,
        "names_credentials": result.verdict.names_credentials,
        "rejects_token": result.verdict.rejects_token,
        "detail": result.verdict.detail,
    }


def main(timeout: str, ca_file: str, *urls: str) -> None:
    """Send the probes at the same time, and write their Results in the order of `urls`."""
    http_client = HttpClient(verifying_context(Path(ca_file)))
    sys.stdout.write(f"{time.monotonic()}\n")
    sys.stdout.flush()
    with ThreadPoolExecutor(len(urls)) as pool:
        for result in pool.map(lambda url: probe(http_client, url, float(timeout)), urls):
            sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
