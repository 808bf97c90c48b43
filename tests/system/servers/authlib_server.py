"""Authlib's authorization server and resource protector, on Flask."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin
from authlib.oauth2.rfc6749.grants import ResourceOwnerPasswordCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask
from werkzeug.serving import make_server

from tests.system.servers.account import ServerAccount, read_account, report_port
from tests.system.servers.control import PING_PATH, TOKEN_PATH, Control, controlled, pong


@dataclass
class PasswordClient(ClientMixin):
    """The one client: it authenticates by HTTP Basic and may use the password grant."""

    account: ServerAccount

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.account.client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "password"

    def get_allowed_scope(self, scope: str) -> str:
        return ""


@dataclass
class GrantedToken(TokenMixin):
    """A granted token."""

    expires_at: float  # on the monotonic clock
    revoked: bool = False

    def get_scope(self) -> str:
        return ""

    def is_expired(self) -> bool:
        return time.monotonic() >= self.expires_at

    def is_revoked(self) -> bool:
        return self.revoked


@dataclass
class Tokens:
    """Every token that was granted, by its text."""

    granted: dict[str, GrantedToken] = field(default_factory=dict)

    def save(self, token: dict[str, object], _: object) -> None:
        """Keep a token that Authlib generated."""
        lifetime = token["expires_in"]
        assert isinstance(lifetime, int)
        self.granted[str(token["access_token"])] = GrantedToken(time.monotonic() + lifetime)

    def revoke(self) -> None:
        """Mark every token as revoked."""
        for token in self.granted.values():
            token.revoked = True

    def expire(self) -> None:
        """Let every token expire now."""
        for token in self.granted.values():
            token.expires_at = time.monotonic()


def password_grant(account: ServerAccount, control: Control) -> type:
    """Return Authlib's password grant with a check of the one user."""

    class PasswordGrant(ResourceOwnerPasswordCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        def authenticate_user(self, username: str, password: str) -> str | None:
            if (username, password) == (account.username, account.password):
                return username
            control.count_wrong_password()
            return None

    return PasswordGrant


def token_validator(tokens: Tokens) -> BearerTokenValidator:
    """Return Authlib's bearer check over these tokens."""

    class Validator(BearerTokenValidator):
        def authenticate_token(self, token_string: str) -> GrantedToken | None:
            return tokens.granted.get(token_string)

    return Validator()


def build(account: ServerAccount, tokens: Tokens, control: Control) -> Flask:
    """Return the application with its two paths."""
    app = Flask(__name__)
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"password": account.lifetime}
    client = PasswordClient(account)
    server = AuthorizationServer(app, lambda client_id: client if client_id == account.client_id else None, tokens.save)
    server.register_grant(password_grant(account, control))
    protect = ResourceProtector()
    protect.register_token_validator(token_validator(tokens))
    app.add_url_rule(TOKEN_PATH, "token", server.create_token_response, methods=["POST"])
    app.add_url_rule(PING_PATH, "ping", protect()(pong))
    return app


def main() -> None:
    """Serve until SIGTERM."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain HTTP, which Authlib refuses otherwise
    account, tokens = read_account(), Tokens()
    control = Control(tokens.revoke, tokens.expire)
    server = make_server("127.0.0.1", account.port, controlled(build(account, tokens, control), control))
    report_port(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
