"""Who is asking: the Authorization header."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from batchsim.errors import AuthenticationFailed
from batchsim.wire.message import Request


def authenticate(request: Request, keys: Collection[str] | None) -> str:
    """The key that a request names.

    Raises AuthenticationFailed when it names none, or none of `keys`; any will do when None.
    """
    scheme, _, token = (request.header("authorization") or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() not in {"bearer", "basic"} or not token:
        message = "Missing bearer or basic authentication in header"
        raise AuthenticationFailed(message, status=401)
    given = token.encode("utf-8", "surrogatepass")
    if keys is not None and not any(hmac.compare_digest(given, key.encode()) for key in keys):
        raise AuthenticationFailed(
            f"Incorrect API key provided: {_masked(token)}. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            status=401,
            code="invalid_api_key",
        )
    return token


def _masked(token: str) -> str:
    return "***" if len(token) < 16 else f"{token[:3]}...{token[-3:]}"
