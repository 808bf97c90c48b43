"""The account to which a server grants tokens; the server reads it from stdin."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerAccount:
    """One client with one user, the port to listen on (0: any free one) and the lifetime of tokens in seconds."""

    client_id: str
    client_secret: str
    username: str
    password: str
    port: int = 0
    lifetime: int = 300


def read_account() -> ServerAccount:
    """Return the account from the JSON line on stdin, because the process list and the environment must not show it."""
    return ServerAccount(**json.loads(sys.stdin.readline()))


def report_port(port: int) -> None:
    """Print the port that the server listens on, as one JSON line."""
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
