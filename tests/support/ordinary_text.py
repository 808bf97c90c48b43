"""Ordinary texts of servers, generated from a seed: messages, log lines, stack traces, JSON, pages, URLs."""

from __future__ import annotations

import base64
import html
import json
import random
import uuid
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

_SERVICES = ("gateway", "auth-service", "registry", "ledger", "nginx", "haproxy", "Tomcat", "kestrel", "IIS", "envoy")
_CLASSES = ("TokenStore", "ClientFilter", "AccountMapper", "RequestParser", "ConnectionPool", "LedgerRepository")
_PACKAGES = ("org.springframework.security", "System.Net.Http", "com.example.registry.api", "java.util.concurrent")
_FAULTS = (
    "Invalid Login ID or Password", "The user name or password is incorrect", "Bearer token is missing",
    "The access token expired", "invalid_client: client authentication failed", "Account is locked until tomorrow",
    "Object reference not set to an instance of an object", "connection pool exhausted; 50% of requests were dropped",
    "upstream connect error or disconnect/reset before headers", "too many requests, retry in 30 s", "Bad credentials",
    "Value cannot be null. (Parameter 'username')", "The password must contain at least 8 characters & one digit",
    "Benutzername oder Kennwort ist ungültig, größere Störung möglich", "Nom d'utilisateur ou mot de passe erroné",
    "Неверный пароль или имя пользователя", "ユーザー名またはパスワードが正しくありません",
    "Kullanıcı adı veya şifre yanlış",  # noqa: RUF001 - Turkish
)  # fmt: skip


def lines(count: int, seed: int = 2) -> Iterator[str]:
    """Yield `count` texts; the same seed gives the same texts."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.choice(_KINDS)(rng)


def _identifier(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


def _message(rng: random.Random) -> str:
    return f"{rng.choice(_FAULTS)} ({rng.choice(_SERVICES)}, correlation id {_identifier(rng)})"


def _log_line(rng: random.Random) -> str:
    time = (
        f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:14:09.{rng.randint(0, 999):03}Z"
    )
    digest = rng.randbytes(20).hex()
    return f'{time} {rng.choice(("WARN", "ERROR"))} [{rng.choice(_SERVICES)}] sha1={digest} msg="{rng.choice(_FAULTS)}"'


def _stack_trace(rng: random.Random) -> str:
    frames = (
        f"\n\tat {rng.choice(_PACKAGES)}.{rng.choice(_CLASSES)}.apply(Main.java:{rng.randint(1, 900)})"
        for _ in range(rng.randint(2, 9))
    )
    return f"{rng.choice(_PACKAGES)}.{rng.choice(_CLASSES)}Exception: {rng.choice(_FAULTS)}{''.join(frames)}"


def _json(rng: random.Random) -> str:
    error = {"code": rng.choice(("E1042", "invalid_grant", "AUTH-7")), "message": rng.choice(_FAULTS)}
    body = {"submissionId": _identifier(rng), "errors": [error | {"path": "/api/system/ping"}]}
    text = json.dumps(body, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 2)))
    return json.dumps(text) if rng.random() < 0.2 else text


def _page(rng: random.Random) -> str:
    fault = html.escape(rng.choice(_FAULTS))
    return (
        f"<!DOCTYPE html><html><head><title>{rng.randint(400, 599)} &ndash; {rng.choice(_SERVICES)}</title><style>body"
        f"{{margin:0;color:#{rng.randbytes(3).hex()}}}</style></head><body class='error'><h1>{fault}</h1><p>Ray ID: "
        f"{rng.randbytes(8).hex()} &bull; &copy; 2026&nbsp;Example &amp; Co.</p></body></html>"
    )


def _url(rng: random.Random) -> str:
    query = urlencode({"returnUrl": f"https://example.com/a b?x={rng.randint(0, 99)}&y=ä", "session": _identifier(rng)})
    return f"302 to https://login.example.com/authorize?{query}"


def _cookie(rng: random.Random) -> str:
    blob = base64.b64encode(rng.randbytes(rng.randint(12, 90))).decode()
    return f"Set-Cookie: AWSALB={blob}; Path=/; state={base64.urlsafe_b64encode(_json(rng).encode()).decode()[:200]}"


def _dump(rng: random.Random) -> str:
    return (
        f"unexpected bytes {rng.randbytes(24).hex(' ')} near \\x{rng.randint(16, 255):02x}, =?utf-8?Q?Fehler=20=C3=BC?="
    )


_KINDS: tuple[Callable[[random.Random], str], ...] = (
    _message, _log_line, _stack_trace, _json, _page, _url, _cookie, _dump,
)  # fmt: skip
