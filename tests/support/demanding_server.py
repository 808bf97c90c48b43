"""A TLS server that requires a client certificate, and records its requests and the certificates of its clients."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from pathlib import Path
from typing import Any

from tests.support.local_server import LocalServer
from tests.support.odd_certificates import Pair, issue, names

TIMEOUT = 20.0  # seconds
ADDRESS = "127.0.0.1"


class DemandingServer(LocalServer):
    """A TLS server inside `with` that requires a client certificate of `root`.

    It resets a connection whose handshake failed, right after its alert, if `reset` is true. `subjects` has the common
    name of each client certificate that it accepted, None after a handshake without one.
    """

    def __init__(
        self,
        directory: Path,
        root: Pair,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        *,
        reset: bool = False,
        hosts: tuple[str, ...] = (ADDRESS,),
    ) -> None:
        super().__init__()
        leaf = issue("server", root, names(*hosts))
        (directory / "server.pem").write_bytes(leaf.key_pem() + leaf.pem)
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(root.pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = self.context.maximum_version = version
        self.context.load_cert_chain(directory / "server.pem")
        self.context.load_verify_locations(self.ca_file)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.subjects: list[str | None] = []
        self.requests: list[bytes] = []
        self.after_handshake = False  # ask for the certificate after the handshake (RFC 8446 section 4.6.2)
        self.partial_response = b"HTTP/1.1 103 Early Hints\r\n\r\n"  # before it is asked for
        self._reset = reset

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"https://{ADDRESS}:{self.port}/"

    def serve(self, connection: socket.socket) -> None:
        """Handshake and respond on one connection."""
        connection.settimeout(TIMEOUT)
        secured = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with secured, contextlib.suppress(OSError):
            self._respond(secured)

    def _respond(self, secured: ssl.SSLSocket) -> None:
        try:
            secured.do_handshake()
            self.subjects.append(_subject(secured))
            self.requests.append(secured.recv(65536))
            if self.after_handshake:
                secured.verify_client_post_handshake()
                secured.sendall(self.partial_response)  # after it, OpenSSL has sent the request
                limit = time.monotonic() + TIMEOUT
                secured.settimeout(0.01)
                while _subject(secured) is None and time.monotonic() < limit:
                    with contextlib.suppress(TimeoutError):
                        secured.recv(1)  # OpenSSL reads the certificate; there is no data
                secured.settimeout(TIMEOUT)
                self.subjects.append(_subject(secured))
        except ssl.SSLError:
            if self._reset:
                secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                secured.shutdown(socket.SHUT_WR)
                while secured.recv(65536):
                    pass
            return
        secured.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        secured.unwrap()


def _subject(secured: ssl.SSLSocket) -> str | None:
    certificate: dict[str, Any] = secured.getpeercert() or {}
    return next((value for part in certificate.get("subject", ()) for _, value in part), None)
