"""Judge chains with the TLS context of the probes, in any Python: a script that needs nothing but the monitor's code.

It reads cases as JSON (name, chain, ca_file, host), and writes for each name a verdict: "" if the chain is accepted,
else OpenSSL's text, with length and earliest expiry of the verified chain. The handshake is in memory.
"""

from __future__ import annotations

import json
import ssl
import sys
from pathlib import Path

from monitor.http.certificate import earliest_expiry
from monitor.http.tls import verified_chain, verifying_context


def judge(client_context: ssl.SSLContext, chain: str, host: str) -> tuple[str, int, float | None]:
    """Return "" if a client accepts the chain, else the reason; length and earliest expiry of the verified chain."""
    server_context = server_context_of(chain)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                if side is client:
                    verified = verified_chain(client)
                    return "", len(verified), earliest_expiry(verified)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                return error.verify_message, 0, None
    raise AssertionError("the handshake does not end")


def server_context_of(chain: str) -> ssl.SSLContext:
    """Return the context of a server that presents `chain`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def main() -> None:
    """Judge the cases of standard input."""
    verdicts = {}
    for case in json.load(sys.stdin):
        verdicts[case["name"]] = judge(verifying_context(Path(case["ca_file"])), case["chain"], case["host"])
    json.dump(verdicts, sys.stdout)


if __name__ == "__main__":
    main()
