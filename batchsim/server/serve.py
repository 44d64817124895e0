"""Sockets, start and stop.

Theory of operation. The sockets listen before anything else happens: a port in use is noticed at
once, and an early client waits in the queue. The server then runs in a thread of its own. So a
command can wait for a signal, and a test can go on with its work. Stopping closes the sockets, lets
requests under way end, and joins the thread.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import threading
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from batchsim.errors import UsageError
from batchsim.server.http import ServerLimits
from batchsim.server.serve_extra import check_serve_extra

if TYPE_CHECKING:
    from batchsim.server.http import Handler

BACKLOG = 1_024

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@contextlib.contextmanager
def running(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    has_keys: bool = False,
    allowed_hosts: Collection[str] = (),
    limits: ServerLimits | None = None,
) -> Iterator[str]:
    """Serve `handler` while the block runs; the value is an address like `http://127.0.0.1:8000`.

    Port 0 stands for any free one. `has_keys` means that the handler accepts known keys only;
    without it only addresses of this machine are served. Clients may call the server by `host`, a
    loopback name or one of `allowed_hosts`.

    Raises UsageError when the address cannot be served, and MissingExtra when a package of
    `batchsim[serve]` is not installed.
    """
    limits = limits or ServerLimits()
    check_serve_extra()
    from batchsim.server.http import Guard
    from batchsim.server.http.http_server import HttpServer

    sockets = _listen(host, port)
    try:
        is_local = all(_is_loopback(each) for each in sockets)
        if not is_local and not has_keys:
            raise UsageError(
                f"{host} can be reached from other machines, and anyone there could use the server",
                hint="add --auth-token KEY, or leave --host at 127.0.0.1",
            )
        allowed = {_in_url(host), *allowed_hosts}
        address = f"http://{_reachable(host)}:{sockets[0].getsockname()[1]}"
        guard = Guard(limits, allowed_hosts=allowed, any_address=not is_local)
        server = HttpServer(handler, guard, limits)
        thread = threading.Thread(
            target=server.run, args=(sockets,), name="batchsim-server", daemon=True
        )
        thread.start()
    except BaseException:
        for each in sockets:
            each.close()
        raise
    server.has_begun.wait()
    try:
        yield address
    finally:
        server.stop()
        thread.join()


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host` that this machine has, all on one port."""
    sockets: list[socket.socket] = []
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for place, (family, _, _, _, address) in enumerate(places, start=1):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_bind(family, (address[0], chosen, *address[2:])))
            except OSError as error:
                # A name may have addresses of a kind that is switched off, such as ::1.
                if error.errno not in _NOT_HERE or (place == len(places) and not sockets):
                    raise
    except OSError as error:
        for each in sockets:
            each.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is in use",
                hint="stop the other server, or choose another port; --port 0 takes any free one",
            ) from None
        raise UsageError(
            f"cannot listen on port {port} of {host}: {error.strerror or error}",
            hint="the address must be one of this machine's own",
        ) from None
    return sockets


def _bind(family: int, address: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def _reachable(host: str) -> str:
    """Return the host for clients on this machine, since `host` may stand for all addresses."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host) or _in_url(host)  # noqa: S104 - replaced


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
