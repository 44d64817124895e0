"""No way out: what Python offers to reach a network, guarded.

Everything that opens a connection, sends a datagram or looks up a name first asks the `Allowed` in
force. Loopback addresses, unix sockets and whatever was allowed go through untouched; anything
else is NetworkForbidden, before a packet leaves. An error of another class would be taken for a
network that is down, and tried again.

The guard stands where Python code must pass: methods of sockets, lookups of the socket module, and
the event loops that bypass both (uvloop, and the proactor of Windows). A connection that was open
before is held by its next `send`. What it does not see: C libraries with sockets of their own
(gRPC, c-ares, uvloop's connections of before), and other processes.
"""

from __future__ import annotations

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
        """Whether a host may be reached at a port; None asks for any port."""
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
    """Whether a host name or an IP address surely stands for this machine, without looking it up."""
    if host.lower() in ("", "localhost"):
        return True
    address = _address(host)
    if address is None:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def forbidden(host: str, port: int | None) -> NetworkForbidden:
    """The error for an attempt to reach `host`."""
    shown = f"[{host}]" if ":" in host else host
    place = shown if port is None else f"{shown}:{port}"
    hint = f'let it through: intercept(..., allow=["{shown}"]), or allow= of the marker batchsim'
    return NetworkForbidden(
        f"nothing may reach {place} while the network is intercepted", hint=hint
    )


def patches(rule: Callable[[], Allowed | None]) -> Iterator[Patch]:
    """What guards the network. `rule` tells what is allowed now; None: everything."""
    guard = _Guard(rule)
    yield from _sockets(guard)
    yield from _lookups(guard)
    if importlib.util.find_spec("uvloop"):
        yield from _uvloop(guard, importlib.import_module("uvloop").Loop)
    if proactor := getattr(asyncio, "ProactorEventLoop", None):
        yield _looking_first(proactor, "sock_connect", guard.loop_sock_connect)


def _sockets(guard: _Guard) -> Iterator[Patch]:
    looks: list[tuple[type, str, Callable[..., None]]] = [
        (socket.socket, "connect", guard.connect),
        (socket.socket, "connect_ex", guard.connect),
        (socket.socket, "send", guard.send),
        (socket.socket, "sendall", guard.send),
        (socket.socket, "sendto", guard.sendto),
        (socket.socket, "sendmsg", guard.sendmsg),
        (ssl.SSLSocket, "send", guard.send),
        (ssl.SSLSocket, "write", guard.send),
    ]
    for owner, name, look in looks:
        if hasattr(owner, name):  # Windows has no sendmsg
            yield _looking_first(owner, name, look)
    # by itself it would look up the name, and leave a refused socket open
    yield _looking_first(socket, "create_connection", guard.connection)


def _lookups(guard: _Guard) -> Iterator[Patch]:
    yield Patch(socket, "getaddrinfo", guard.resolving(socket.getaddrinfo))
    yield Patch(socket, "gethostbyname", guard.resolving_name(socket.gethostbyname))
    yield Patch(socket, "gethostbyname_ex", guard.resolving_name(socket.gethostbyname_ex))
    yield _looking_first(socket, "gethostbyaddr", guard.reverse)
    yield _looking_first(socket, "getnameinfo", guard.getnameinfo)


def _uvloop(guard: _Guard, loop: Any) -> Iterator[Patch]:
    yield Patch(loop, "getaddrinfo", guard.resolving_async(loop.getaddrinfo))
    yield _looking_first(loop, "create_connection", guard.loop_connection)
    yield _looking_first(loop, "create_datagram_endpoint", guard.loop_endpoint)
    yield _looking_first(loop, "sock_connect", guard.loop_sock_connect)
    yield _looking_first(loop, "getnameinfo", guard.loop_getnameinfo)


class _Guard:
    """Takes the arguments of the guarded functions, and raises NetworkForbidden by them."""

    def __init__(self, rule: Callable[[], Allowed | None]) -> None:
        self._rule = rule

    def check(self, host: Any, port: Any = None) -> None:
        allowed = self._rule()
        if allowed is not None:
            allowed.check(host, port)

    def connect(self, sock: socket.socket, address: Any, *_: Any) -> None:
        if sock.family in INTERNET and isinstance(address, tuple) and len(address) >= 2:
            self.check(address[0], address[1])

    def connection(self, address: Any, *_: Any, **__: Any) -> None:
        self.check(*address)

    def send(self, sock: socket.socket, *_: Any, **__: Any) -> None:
        if sock.family in INTERNET:
            with suppress(OSError):  # not connected: the system says so better
                self.check(*sock.getpeername()[:2])

    def sendto(self, sock: socket.socket, *arguments: Any) -> None:
        self.connect(sock, arguments[-1])

    def sendmsg(self, sock: socket.socket, *arguments: Any) -> None:
        if len(arguments) == 4:
            self.connect(sock, arguments[-1])
        else:
            self.send(sock)

    def look_up(self, host: Any, port: Any = None) -> None:
        if _address(_text(host)) is None:
            self.reverse(host, port)

    def reverse(self, host: Any, port: Any = None) -> None:
        # A server that is started here asks for the name of its own machine.
        if _text(host) != socket.gethostname():
            self.check(host, port)

    def getnameinfo(self, address: Any, flags: int) -> None:
        if not flags & socket.NI_NUMERICHOST:
            self.reverse(address[0])

    def resolving(self, original: Any) -> Any:
        @functools.wraps(original)
        def getaddrinfo(
            host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
        ) -> Any:
            if not flags & socket.AI_NUMERICHOST:
                self.look_up(host, port)
            found = original(host, port, family, type, proto, flags)
            self.learn(host, [address[0] for *_, address in found])
            return found

        return getaddrinfo

    def resolving_async(self, original: Any) -> Any:
        @functools.wraps(original)
        async def getaddrinfo(loop: Any, host: Any, port: Any, **options: Any) -> Any:
            self.look_up(host, port)
            found = await original(loop, host, port, **options)
            self.learn(host, [address[0] for *_, address in found])
            return found

        return getaddrinfo

    def resolving_name(self, original: Any) -> Any:
        @functools.wraps(original)
        def gethostbyname(host: Any) -> Any:
            self.look_up(host)
            found = original(host)
            self.learn(host, found[2] if isinstance(found, tuple) else [found])
            return found

        return gethostbyname

    def learn(self, host: Any, addresses: Iterable[Any]) -> None:
        allowed = self._rule()
        if allowed is not None:
            allowed.learn(_text(host), map(str, addresses))

    def loop_connection(
        self, _loop: Any, _factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> None:
        self.check(host, port)

    def loop_endpoint(
        self, _loop: Any, _factory: Any, _local: Any = None, remote_addr: Any = None, **_: Any
    ) -> None:
        if isinstance(remote_addr, tuple | list):
            self.check(*remote_addr[:2])

    def loop_sock_connect(self, _loop: Any, sock: socket.socket, address: Any) -> None:
        self.connect(sock, address)

    def loop_getnameinfo(self, _loop: Any, sockaddr: Any, flags: int = 0) -> None:
        self.getnameinfo(sockaddr, flags)


def _looking_first(owner: Any, name: str, look: Callable[..., None]) -> Patch:
    original = getattr(owner, name)

    @functools.wraps(original)
    def guarded(*arguments: Any, **options: Any) -> Any:
        look(*arguments, **options)
        return original(*arguments, **options)

    return Patch(owner, name, guarded)


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
