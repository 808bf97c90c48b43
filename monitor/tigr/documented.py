"""Documented texts: sentences of the vendor, codes of the RFCs, and the words in them. They are no secrets."""

from __future__ import annotations

import re
from http import HTTPStatus

# The vendor's authentication page and its OpenAPI description (TIGRS Registry Client API 1.0.0).
_VENDOR = (
    "TIGRS Registry Client API",
    "Bad Request - Invalid Login ID or Password",
    "Successfully authenticated",
    "Client API Service User Name",
    "Client API Service Password",
    "Attempts to call application endpoints without a valid token will result in an HTTP error message being returned.",
    "bearer token authentication",
    "permission denied",
    "server too busy",
    "acceptable use policy violated",
    "unexpected error",
    "submissionId correlationId errors code message field parameter path",
)
# RFC 6749 sections 2.3.1, 4.1.2.1, 4.3, 5.1 and 5.2, RFC 6750 section 3.1, RFC 7617 and RFC 9457.
_RFC = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_token",
    "insufficient_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
    "access_token token_type expires_in refresh_token scope",
    "grant_type client_id client_secret username password",
    "error error_description error_uri realm",
    "title detail status type instance",
    "Authorization Basic Bearer WWW-Authenticate client credentials",
)
SENTENCES = (*_VENDOR, *_RFC, *(status.phrase for status in HTTPStatus))
_WORD = re.compile(r"[^\W_]+")
TERMS = frozenset(
    part.casefold()
    for sentence in SENTENCES
    for word in (sentence, *sentence.split())
    for part in (word, *_WORD.findall(word))
)
