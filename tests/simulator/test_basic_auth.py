"""Special characters in a client secret: each server has its decoding of HTTP Basic."""

from __future__ import annotations

import base64
import urllib.parse
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.simulator import basic_auth
from monitor.simulator.basic_auth import BasicClient, BasicDecoding, Escapes, UndecodableError
from tests.simulator.client import SimulatorClient

pytestmark = pytest.mark.once

PLUS, ESCAPE, PERCENT, BLANK, UMLAUT, PLAIN = "a+b", "a%41b", "a%zb", "a b", "aä€b", "a:/&=b"
SECRETS = (PLUS, ESCAPE, PERCENT, BLANK, UMLAUT)
# Status by secret, in the order of SECRETS: of the raw secret, and of the secret that was form-encoded before base64.
TABLE = {
    "keycloak": ((401, 401, 401, 200, 200), (200, 200, 200, 200, 200)),
    "django-oauth-toolkit": ((401, 401, 401, 200, 200), (200, 200, 200, 200, 200)),
    "fosite": ((401, 401, 401, 200, 200), (200, 200, 200, 200, 200)),
    "oidc-provider": ((401, 401, 400, 200, 400), (200, 200, 200, 200, 200)),
    "authlib": ((200, 401, 500, 200, 500), (200, 200, 200, 200, 200)),
    "spring-legacy": ((200, 200, 200, 200, 200), (401, 401, 401, 401, 401)),
    "go-oauth2": ((200, 200, 200, 200, 200), (401, 401, 401, 401, 401)),
    "node-oauth2-server": ((200, 200, 200, 200, 400), (401, 401, 401, 401, 401)),
}
CELLS = [
    (name, secret, sent, status)
    for name, (raw, form_encoded) in TABLE.items()
    for sent, statuses in (("raw", raw), ("encoded", form_encoded))
    for secret, status in zip(SECRETS, statuses, strict=True)
]


def joined(client_id: str, secret: str) -> tuple[str, str]:
    """Return the scheme and the credentials of an Authorization header."""
    return "basic", base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def login(client: SimulatorClient, name: str, secret: str, sent: str) -> int:
    """Return the status of a login; the server has the client secret `secret`, and the client sends `sent`."""
    environment = client.environment
    environment.personality = name
    environment.credentials = replace(environment.credentials, client_secret=secret)
    header = {"Authorization": f"Basic {joined(environment.credentials.client_id, sent)[1]}"}
    return client.login(field_names=("username", "password"), headers=header).status


@pytest.mark.parametrize("name, secret, sent, status", CELLS)
def test_each_server_decodes_special_characters_as_measured(
    plain_client: SimulatorClient, name: str, secret: str, sent: str, status: int
) -> None:
    """The status is the one in the table of HTTP Basic; a blank is encoded as %20, which every decoder reads."""
    assert (
        login(plain_client, name, secret, urllib.parse.quote(secret, safe="") if sent == "encoded" else secret)
        == status
    )


@pytest.mark.parametrize("name", TABLE)
def test_other_punctuation_passes_raw_everywhere(plain_client: SimulatorClient, name: str) -> None:
    """A colon, a slash, an ampersand and an equals sign need no encoding on any server."""
    assert login(plain_client, name, PLAIN, PLAIN) == 200


@pytest.mark.parametrize("name, status", [("keycloak", 200), ("oidc-provider", 200), ("authlib", 401)])
def test_a_blank_encoded_as_a_plus_sign_is_a_blank_only_for_form_decoders(
    plain_client: SimulatorClient, name: str, status: int
) -> None:
    """Authlib decodes %20 to a blank and does not change a plus sign."""
    assert login(plain_client, name, BLANK, "a+b") == status


def test_credentials_other_than_http_basic_have_no_client() -> None:
    """The result is None for another scheme, invalid base64, text that is not ASCII, and a missing colon."""
    for authorization in [("bearer", "YTpi"), ("basic", "!!!"), ("basic", "ä"), ("basic", "YWI="), ("", "")]:
        assert basic_auth.decode(authorization, basic_auth.RAW) is None


def test_the_first_colon_ends_the_client_id() -> None:
    """A secret may contain colons."""
    assert basic_auth.decode(joined("id", "a:b"), basic_auth.RAW) == BasicClient(b"id", b"a:b")


def test_neither_the_client_nor_the_error_shows_a_secret() -> None:
    """The representation of a client and the text of an error hold no part of what was decoded."""
    assert repr(basic_auth.decode(joined("myself", "hidden"), basic_auth.RAW)) == "BasicClient()"
    with pytest.raises(UndecodableError) as raised:
        basic_auth.decode(joined("myself", "hidden%"), basic_auth.FORM)
    assert "hidden" not in str(raised.value)


@given(
    st.tuples(
        st.sampled_from(["basic", "bearer"]), st.text() | st.binary().map(lambda b: base64.b64encode(b).decode())
    ),
    st.builds(BasicDecoding, st.sampled_from(Escapes), st.booleans()),
)
def test_any_header_is_decoded_or_undecodable(authorization: tuple[str, str], decoding: BasicDecoding) -> None:
    """No header raises anything but UndecodableError, and raw decoding of any bytes does not raise."""
    try:
        basic_auth.decode(authorization, decoding)
    except UndecodableError:
        assert decoding != basic_auth.RAW


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_form_decoding_inverts_form_encoding(client_id: str, secret: str) -> None:
    """The encoding of RFC 6749 section 2.3.1 preserves every id and secret, colons included."""
    sent = joined(urllib.parse.quote_plus(client_id), urllib.parse.quote_plus(secret))
    assert basic_auth.decode(sent, basic_auth.FORM_ASCII) == BasicClient(client_id.encode(), secret.encode())
