"""Make a client of the openai SDK without retries or redirects, and find its key and address."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batchsim.backends.openai.providers import Provider
from batchsim.errors import AuthenticationFailed, UsageError

if TYPE_CHECKING:
    import openai

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
UPLOAD_ANSWER_SECONDS = 300.0  # a service may check a file of 200 MB before it answers
THINKING_SECONDS = 600.0  # a model may think before it answers a single request
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # the hosts that only this machine reaches
INSECURE_VARIABLE = "BATCHSIM_INSECURE"  # allows http:// to other machines


def timeout_of(answer_seconds: float) -> openai.Timeout:
    import openai

    return openai.Timeout(answer_seconds, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)


def connect(base_url: str | None, api_key: str | None, provider: Provider) -> openai.OpenAI:
    """A client that neither retries nor follows redirects. The environment fills what is None.

    It goes through the proxy that the environment names for the address (HTTPS_PROXY, HTTP_PROXY,
    ALL_PROXY, and NO_PROXY against them), but never to this machine itself.

    Raises AuthenticationFailed without a usable key, UsageError for a malformed base URL or proxy.
    """
    import openai

    key = key_of(api_key, provider)
    address = address_of(base_url, provider)
    timeout = timeout_of(ANSWER_SECONDS)
    return openai.OpenAI(
        api_key=key,
        base_url=address,
        timeout=timeout,
        max_retries=0,
        default_headers={provider.key_header: key} if provider.key_header else None,
        http_client=http_client(address, timeout),
    )


def http_client(address: str, timeout: openai.Timeout) -> Any:
    """An HTTP client for that address, by the proxy that the environment names, without redirects.

    Raises UsageError for a malformed proxy.
    """
    import openai

    options: dict[str, Any] = {"follow_redirects": False, "timeout": timeout}
    if urlsplit(address).hostname in LOOPBACK:
        # With a transport of its own a client heeds no proxies, but still SSL_CERT_FILE.
        options["transport"] = http_library().HTTPTransport()
    try:
        return openai.DefaultHttpxClient(**options)
    except ImportError:
        raise UsageError(
            "the environment names a SOCKS proxy, for which the package socksio is missing",
            hint="pip install socksio, or name an HTTP proxy in HTTPS_PROXY",
        ) from None
    except Exception:  # noqa: BLE001 - its words may hold the proxy's password
        raise UsageError(
            "the environment names a proxy whose address is malformed",
            hint="HTTPS_PROXY, HTTP_PROXY and ALL_PROXY look like http://proxy.example.com:3128",
        ) from None


def proxy_of(client: openai.OpenAI) -> str | None:
    """The proxy between here and the service, such as `http://proxy:3128`; None without one."""
    return proxy_towards(str(client.base_url), client._client)  # noqa: SLF001 - nothing public says it


def proxy_towards(address: str, client: Any) -> str | None:
    """The proxy by which an HTTP client reaches the address; None without one.

    Its user name and password are left out.
    """
    transport = client._transport_for_url(http_library().URL(address))  # noqa: SLF001 - as above
    proxy = getattr(getattr(transport, "_pool", None), "_proxy_url", None)
    if proxy is None:
        return None
    host, port = proxy.host.decode(), proxy.port
    host = f"[{host}]" if ":" in host else host
    return f"{proxy.scheme.decode()}://{host}" + (f":{port}" if port else "")


def key_of(api_key: str | None, provider: Provider) -> str:
    """The key for that service, by default its variable's. No other variable is read.

    Raises AuthenticationFailed without a key, and for a text that cannot be one.
    """
    variable = provider.key_variable
    key = (api_key if api_key is not None else os.environ.get(variable, "")).strip()
    if not key:
        whose = "" if provider.has_openai_models else f" for {provider.title}"
        raise AuthenticationFailed(
            f"there is no API key{whose}", status=401, hint=f"export {variable}=..."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        hint = "copy it again: it has letters, digits and hyphens only"
        raise AuthenticationFailed("the API key holds characters that no key has", hint=hint)
    return key


def address_of(base_url: str | None, provider: Provider) -> str:
    """The base URL of that service, by default its variable's or its own.

    Raises UsageError without an address, and for a malformed or an unencrypted one.
    """
    variable = provider.base_url_variable
    address = (base_url or (os.environ.get(variable, "") if variable else "")).strip()
    address = address or provider.base_url or ""
    if not address:
        raise UsageError(
            f"{provider.title} has no address of its own", hint=f"export {variable}=https://..."
        )
    if not _is_web_address(address):
        hint = "it looks like https://api.openai.com/v1"
        raise UsageError(f"the base URL is not a web address: {address}", hint=hint)
    _check_safe(address)
    bare = address.rstrip("/")
    return bare + provider.base_url_path if not urlsplit(bare).path else address


def _check_safe(address: str) -> None:
    """Raise UsageError for an address that would expose the key or a password."""
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise UsageError(
            "the base URL holds a user name or a password", hint="leave them out of the address"
        )
    is_open = parts.scheme == "http" and parts.hostname not in LOOPBACK
    if is_open and not os.environ.get(INSECURE_VARIABLE):
        raise UsageError(
            f"the key would be sent in clear to {parts.hostname}",
            hint=f"use https://, or export {INSECURE_VARIABLE}=1 where the network is your own",
        )


def account_of(client: openai.OpenAI) -> str:
    """Identify the client's account by a hash of its organization, project and key."""
    names = (client.organization, client.project, client.api_key)
    text = "\n".join(name if isinstance(name, str) else "" for name in names)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key_hint(client: openai.OpenAI) -> str:
    """Enough of the client's key to tell it from others: `sk-…abcd`, less of a short one."""
    key = client.api_key
    prefix = "sk-" if key.startswith("sk-") else ""
    return f"{prefix}…{key[-4:]}" if len(key) >= 16 else f"{prefix}…"


def _is_web_address(address: str) -> bool:
    if not address.isprintable() or " " in address:
        return False
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def http_library() -> Any:
    import openai

    return sys.modules[openai.DefaultHttpxClient.__mro__[-2].__module__.partition(".")[0]]
