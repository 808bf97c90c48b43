"""The `health` command: request the health of the local daemon, for the health check of a container."""

from __future__ import annotations

import http.client
import ssl

from monitor.hosts import reachable_address

_TIMEOUT = 3.0  # seconds, for each wait
_MAX_TEXT = 4096  # bytes of the response body that are printed


def health(host: str, port: int, *, tls: bool, authorization: str | None = None) -> tuple[bool, str]:
    """Return whether the daemon on `host` and `port` is healthy, and its response or the error as text.

    `monitor.web.access.local_access` returns the values of `tls` and `authorization`. With `tls` the certificate is not
    verified: it is for the name that Prometheus uses, not for a loopback address, and no secret is sent. A response
    other than 200 and 503, such as 401, does not report the health of the daemon, so it counts as a failure.
    """
    host = reachable_address(host)
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    try:
        connection.request("GET", "/-/healthy", headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        text = response.read(_MAX_TEXT).decode(errors="replace").strip()
    except TimeoutError:
        return False, f"no response from {host} port {port} within {_TIMEOUT:.0f} s"
    except (OSError, http.client.HTTPException) as error:
        return False, f"no response from {host} port {port}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    if response.status in (http.client.OK, http.client.SERVICE_UNAVAILABLE):
        return response.status == http.client.OK, text
    return False, f"{host} port {port} does not report its health: status {response.status}: {text}"
