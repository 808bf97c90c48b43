"""FastAPI with OAuth2PasswordRequestForm and OAuth2PasswordBearer, as its tutorial combines them, on uvicorn."""

import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from tests.system.servers.account import ServerAccount, read_account, report_port
from tests.system.servers.control import PING_PATH, TOKEN_PATH, Control, pong

# FastAPI resolves these names in the module, so they cannot be local to a function.
Form = Annotated[OAuth2PasswordRequestForm, Depends()]
Bearer = Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl=TOKEN_PATH))]
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Endpoints:
    """The two endpoints and the tokens between them."""

    def __init__(self, account: ServerAccount) -> None:
        self._account = account
        self._expiry: dict[str, float] = {}  # monotonic clock, by token
        self.control = Control(self._expiry.clear, self._expire)

    def _expire(self) -> None:
        self._expiry.update(dict.fromkeys(self._expiry, time.monotonic()))

    def token(self, form: Form) -> dict[str, object]:
        """Grant a token without a check of the client, as the tutorial does."""
        if (form.username, form.password) != (self._account.username, self._account.password):
            self.control.count_wrong_password()
            raise HTTPException(401, "Incorrect username or password", _CHALLENGE)
        token = secrets.token_urlsafe()
        self._expiry[token] = time.monotonic() + self._account.lifetime
        return {"access_token": token, "token_type": "bearer", "expires_in": self._account.lifetime}

    def ping(self, token: Bearer) -> dict[str, str]:
        """Return a pong for a valid token."""
        if time.monotonic() >= self._expiry.get(token, 0):
            raise HTTPException(401, "Could not validate credentials", _CHALLENGE)
        return pong()

    async def controlled(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Serve the control paths, record requests, and pass all other requests to the application."""
        page = self.control.respond(request.method, request.url.path)
        if page is not None:
            return Response(page, media_type="application/json")
        body = await request.body()
        response = await call_next(request)
        self.control.record(request.url.path, body, response.status_code)
        return response


def build(endpoints: Endpoints) -> FastAPI:
    """Return the application with its two paths."""
    app = FastAPI()
    app.post(TOKEN_PATH)(endpoints.token)
    app.get(PING_PATH)(endpoints.ping)
    app.middleware("http")(endpoints.controlled)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    account = read_account()
    with socket.create_server(("127.0.0.1", account.port)) as listening:
        report_port(listening.getsockname()[1])
        config = uvicorn.Config(build(Endpoints(account)), log_level="warning")
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
