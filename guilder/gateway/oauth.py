"""OAuth 2.1: the token endpoint for client credentials, its metadata and the public keys."""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl

from guilder.contracts.context import Context
from guilder.contracts.declare import Nothing
from guilder.contracts.errors import InvalidRequest
from guilder.contracts.identity.v1 import BadClient, Identity, Token, TokenRequest

TOKEN_PATH = "/oauth/token"
JWKS_PATH = "/.well-known/jwks.json"
METADATA_PATH = "/.well-known/oauth-authorization-server"


async def token(
    identity: Identity, ctx: Context, content_type: str, auth: str, body: bytes
) -> Token:
    """Answer `grant_type=client_credentials`; the secret comes in the form or as HTTP Basic."""
    if content_type.split(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise InvalidRequest("send the form as application/x-www-form-urlencoded")
    form = _form(body)
    if form.get("grant_type") != "client_credentials":
        raise InvalidRequest("grant_type must be client_credentials", at="grant_type")
    if auth:
        if "client_id" in form or "client_secret" in form:
            raise InvalidRequest("send the client's secret once: in the form or as HTTP Basic")
        form |= _basic(auth)
    unknown = set(form) - {"grant_type", "client_id", "client_secret", "scope"}
    if unknown or not form.get("client_id") or not form.get("client_secret"):
        raise InvalidRequest("send grant_type, client_id and client_secret, nothing else")
    request = TokenRequest(client_id=form["client_id"], client_secret=form["client_secret"])
    return await identity.client_token(ctx, request)


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=10
        )
    except (ValueError, UnicodeDecodeError):
        raise InvalidRequest("the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidRequest("a field of the form appears twice")
    if any("\x00" in value or not value.isprintable() for value in form.values()):
        raise InvalidRequest("a field of the form holds unprintable characters")
    return form


def _basic(header: str) -> dict[str, str]:
    scheme, _, value = header.partition(" ")
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    client, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise BadClient("HTTP Basic credentials cannot be read")
    return {"client_id": client, "client_secret": secret}


async def keys(identity: Identity, ctx: Context) -> dict[str, Any]:
    """The public keys (RFC 7517)."""
    return {"keys": (await identity.jwks(ctx, Nothing())).keys}


def metadata(issuer: str) -> dict[str, Any]:
    """Authorization server metadata (RFC 8414)."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}{TOKEN_PATH}",
        "jwks_uri": f"{issuer}{JWKS_PATH}",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
