"""The guard of `intercept`: nothing that Python offers leads out of this machine.

Every function that opens a connection, sends data or looks up a name first asks the `Allowed` in
force. Loopback addresses, unix sockets and allowed places go through untouched. Anything else
raises NetworkForbidden before a packet leaves: another class of error would look like a network
that is down, and be tried again.

Methods of sockets, lookups of the socket module, and the event loops that bypass both (uvloop, and
the proactor of Windows) are replaced. A connection that was open before is held at its next `send`.
Not seen are C libraries with sockets of their own (gRPC, c-ares, uvloop's earlier connections) and
other processes.

pytest-socket (0.8) cannot stand in for this: it guards `socket.connect` by host alone. It knows
neither ports nor datagrams, uvloop, nested blocks or connections that are open already.
"""

import asyncio
import functools
import importlib
import importlib.util
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from batchsim.errors import NetworkForbidden, UsageError

INTERNET = (socket.AF_INET, socket.AF_INET6)


class Patch(NamedTuple):
    """An attribute of a module or a class, and what stands in for it."""

    owner: Any
    name: str
    replacement: Any


class Allowed:
    """The places that may be reached, each as `host` or `host:port`.

    Raises UsageError for one that is neither. An allowed name allows the addresses that it turned
    out to have.
    """

    def __init__(self, places: Iterable[str] = ()) -> None:
        if isinstance(places, str):
            raise UsageError("allow wants a list of hosts", hint=f"write allow=[{places!r}]")
        self._places = {_place(place) for place in places}

    def admits(self, host: str, port: int | None) -> bool:
        """True when a host may be reached at a port; None asks for any port."""
        return any(
            name == host.lower() and (port is None or allowed in (None, port))
            for name, allowed in tuple(self._places)
        )

    def learn(self, host: str, addresses: Iterable[str]) -> None:
        """Admit the addresses of `host` as `host` is admitted."""
        ports = {port for name, port in self._places if name == host.lower()}
        self._places |= {(address, port) for address in addresses for port in ports}

    def check(self, host: Any, port: Any) -> None:
        """Raises NetworkForbidden unless the host is this machine or admitted."""
        name, number = _text(host), port if isinstance(port, int) else None
        if not (is_loopback(name) or self.admits(name, number)):
            raise forbidden(name, number)


def is_loopback(host: str) -> bool:
    """True when a host name or an IP address surely stands for this machine, without a lookup."""
    if host.lower() in ("", "localhost"):
        return True
    address = _address(host)
    if address is None:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def forbidden(host: str, port: int | None) -> NetworkForbidden:
    shown = f"[{host}]" if ":" in host else host
    place = shown if port is None else f"{shown}:{port}"
    hint = f'let it through: intercept(..., allow=["{shown}"]), or allow= of the marker batchsim'
    return NetworkForbidden(
        f"nothing may reach {place} while the network is intercepted", hint=hint
    )


Guarded = tuple[Any, str, Callable[..., Any]]
"""An owner, the name of its function, and what finds the place that a call of it reaches."""


def patches(rule: Callable[[], Allowed | None]) -> Iterator[Patch]:
    """The patches that guard the network. `rule` returns what is allowed now; None: everything."""
    guard = _Guard(rule)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        yield Patch(socket, name, guard.resolving(getattr(socket, name)))
    guarded = _SOCKETS
    if importlib.util.find_spec("uvloop"):
        loop = importlib.import_module("uvloop").Loop
        yield Patch(loop, "getaddrinfo", guard.resolving_async(loop.getaddrinfo))
        guarded += tuple((loop, name, place) for name, place in _LOOPS.items())
    if proactor := getattr(asyncio, "ProactorEventLoop", None):
        guarded += ((proactor, "sock_connect", _LOOPS["sock_connect"]),)
    for owner, name, place in guarded:
        if hasattr(owner, name):  # Windows has no sendmsg
            yield Patch(owner, name, guard.checking(getattr(owner, name), place))


class _Guard:
    """Wraps functions so that they check, before their work, the place that they are to reach."""

    def __init__(self, rule: Callable[[], Allowed | None]) -> None:
        self._rule = rule

    def _check(self, place: Any) -> None:
        allowed = self._rule()
        if allowed is not None and place is not None:
            allowed.check(*place)

    def _learn(self, host: Any, found: Any) -> None:
        allowed = self._rule()
        if allowed is not None:
            allowed.learn(_text(host), _addresses(found))

    def checking(self, original: Any, place: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def checked(*arguments: Any, **options: Any) -> Any:
            self._check(place(*arguments, **options))
            return original(*arguments, **options)

        return checked

    def resolving(self, original: Any) -> Any:
        @functools.wraps(original)
        def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
            self._check(_looked_up(host, *arguments, **options))
            found = original(host, *arguments, **options)
            self._learn(host, found)
            return found

        return resolve

    def resolving_async(self, original: Any) -> Any:
        @functools.wraps(original)
        async def resolve(loop: Any, host: Any, *arguments: Any, **options: Any) -> Any:
            self._check(_looked_up(host, *arguments, **options))
            found = await original(loop, host, *arguments, **options)
            self._learn(host, found)
            return found

        return resolve


def _addresses(found: Any) -> list[str]:
    """The addresses found by `gethostbyname`, `gethostbyname_ex` or `getaddrinfo`."""
    if isinstance(found, str):
        return [found]
    return list(found[2]) if isinstance(found, tuple) else [str(each[-1][0]) for each in found]


def _looked_up(host: Any, port: Any = None, *numbers: int, flags: int = 0, **_: Any) -> Any:
    """The name that `getaddrinfo(host, port, family, type, proto, flags)` asks the network for."""
    flags = numbers[3] if len(numbers) > 3 else flags
    is_address = flags & socket.AI_NUMERICHOST or _address(_text(host)) is not None
    return None if is_address else _named(host, port)


def _named(host: Any, port: Any = None) -> Any:
    # A server that is started here asks for the name of its own machine.
    return None if _text(host) == socket.gethostname() else (host, port)


def _reversed(address: Any, flags: int = 0) -> Any:
    return None if flags & socket.NI_NUMERICHOST else _named(address[0])


def _target(sock: socket.socket, *arguments: Any) -> Any:
    """The address that comes last."""
    address = arguments[-1]
    is_place = sock.family in INTERNET and isinstance(address, tuple) and len(address) >= 2
    return address[:2] if is_place else None


def _peer(sock: socket.socket, *_: Any, **__: Any) -> Any:
    if sock.family in INTERNET:
        with suppress(OSError):  # not connected: the system says so better
            return sock.getpeername()[:2]
    return None


def _message_target(sock: socket.socket, *arguments: Any) -> Any:
    return _target(sock, *arguments) if len(arguments) == 4 else _peer(sock)


def _endpoint(
    _loop: Any, _factory: Any, _local: Any = None, remote_addr: Any = None, **_: Any
) -> Any:
    return remote_addr[:2] if isinstance(remote_addr, tuple | list) else None


_SOCKETS: tuple[Guarded, ...] = (
    (socket.socket, "connect", _target),
    (socket.socket, "connect_ex", _target),
    (socket.socket, "send", _peer),
    (socket.socket, "sendall", _peer),
    (socket.socket, "sendto", _target),
    (socket.socket, "sendmsg", _message_target),
    (ssl.SSLSocket, "send", _peer),
    (ssl.SSLSocket, "write", _peer),
    # by itself it would look up the name, and leave a refused socket open
    (socket, "create_connection", lambda address, *_, **__: address),
    (socket, "gethostbyaddr", _named),
    (socket, "getnameinfo", _reversed),
)

_LOOPS: dict[str, Callable[..., Any]] = {
    "create_connection": lambda _loop, _factory, host=None, port=None, **_: (host, port),
    "create_datagram_endpoint": _endpoint,
    "sock_connect": lambda _loop, sock, address: _target(sock, address),
    "getnameinfo": lambda _loop, sockaddr, flags=0: _reversed(sockaddr, flags),
}


def _text(host: Any) -> str:
    if isinstance(host, bytes | bytearray):
        return bytes(host).decode("utf-8", "replace")
    return "" if host is None else str(host)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _place(text: str) -> tuple[str, int | None]:
    if _address(text) is not None:
        return text.lower(), None
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.netloc == text and "@" not in text:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise UsageError(f"{text!r} is not a host", hint='write "example.com" or "example.com:443"')
