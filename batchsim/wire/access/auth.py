"""Authentication by the Authorization header, or by Azure's `api-key`."""

import hmac
from collections.abc import Collection

from batchsim.errors import AuthenticationFailed
from batchsim.wire.access.azure_paths import is_azure
from batchsim.wire.http import Request


def authenticate(request: Request, keys: Collection[str] | None) -> str:
    """Return the key of a request.

    Raises AuthenticationFailed for no key, for several, and for one that is not among `keys`. When
    these are None, every key is accepted.
    """
    token = _token(request)
    if not token:
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


def _token(request: Request) -> str:
    given = [value for name, value in request.headers if name.lower() == "authorization"]
    if is_azure(request.path) and not given:
        return (request.header("api-key") or "").strip()
    scheme, _, token = (given[0] if len(given) == 1 else "").strip().partition(" ")
    return token.strip() if scheme.lower() in {"bearer", "basic"} else ""


def _masked(token: str) -> str:
    return "***" if len(token) < 16 else f"{token[:3]}...{token[-3:]}"
