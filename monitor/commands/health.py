"""Ask the daemon on this machine whether it is healthy, as a container's health check does."""

from __future__ import annotations

import http.client
import ssl

from monitor.hosts import reachable_address

_LIMIT = 3.0  # seconds, for each wait
_LONGEST = 4096  # bytes of the answer that are shown


def health(host: str, port: int, *, tls: bool, authorization: str | None = None) -> tuple[bool, str]:
    """Return whether the daemon that listens on `host` and `port` is healthy, and what it, or the network, said.

    `monitor.web.access.local_access` returns the other two. With `tls` the certificate is not verified: it is for the
    name that Prometheus uses, not for a loopback address, and nothing secret is sent. A response other than 200 and
    503, such as 401, says nothing about the daemon's health, and is not taken for it.
    """
    host = reachable_address(host)
    connection = http.client.HTTPConnection(host, port, timeout=_LIMIT)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=_LIMIT, context=context)
    try:
        connection.request("GET", "/-/healthy", headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        text = response.read(_LONGEST).decode(errors="replace").strip()
    except TimeoutError:
        return False, f"no answer from {host} port {port} within {_LIMIT:.0f} s"
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {host} port {port}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    if response.status in (http.client.OK, http.client.SERVICE_UNAVAILABLE):
        return response.status == http.client.OK, text
    return False, f"{host} port {port} does not say whether it is healthy, but {response.status}: {text}"
