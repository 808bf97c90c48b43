"""django-oauth-toolkit with its token view and its protected view, on an in-memory database."""

from __future__ import annotations

import django
from django.conf import settings

from tests.system.servers.account import ServerAccount, read_account, report_port
from tests.system.servers.control import Control, controlled

_APPS = ("contenttypes", "auth", "oauth2_provider")


def configure(lifetime: int) -> None:
    """Set up Django; all other settings are the defaults of Django and of the toolkit."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "oauth2_provider"],
        MIGRATION_MODULES=dict.fromkeys(_APPS),  # create tables directly: migrations take 2 s and are not tested here
        OAUTH2_PROVIDER={"ACCESS_TOKEN_EXPIRE_SECONDS": lifetime},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # the default takes 0.3 s of CPU time
        ROOT_URLCONF="tests.system.servers.django_urls",
        SECRET_KEY="for one run on loopback",
        USE_TZ=True,
    )
    django.setup()


def create(account: ServerAccount) -> None:
    """Create the tables, the user and the client."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", run_syncdb=True, verbosity=0)
    user = User.objects.create_user(account.username, password=account.password)
    Application.objects.create(
        user=user,
        client_id=account.client_id,
        client_secret=account.client_secret,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_PASSWORD,
    )


def revoke() -> None:
    """Revoke every token as the toolkit does."""
    from oauth2_provider.models import AccessToken

    for token in AccessToken.objects.all():
        token.revoke()


def expire() -> None:
    """Let every token expire now."""
    from django.utils import timezone
    from oauth2_provider.models import AccessToken

    AccessToken.objects.update(expires=timezone.now())


def main() -> None:
    """Serve until SIGTERM, in one thread: an in-memory database belongs to its thread."""
    account = read_account()
    configure(account.lifetime)
    create(account)
    from django.contrib.auth.signals import user_login_failed
    from django.core.wsgi import get_wsgi_application
    from werkzeug.serving import make_server

    control = Control(revoke, expire)

    def count(**_: object) -> None:
        control.count_wrong_password()

    user_login_failed.connect(count)
    server = make_server("127.0.0.1", account.port, controlled(get_wsgi_application(), control))
    report_port(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
