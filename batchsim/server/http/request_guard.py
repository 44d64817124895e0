"""Check the head of a request before it is routed and before its body is read.

A server on this machine can be reached by every web page that its user visits. Against pages of
other origins stand three things. A page whose own name resolves to this machine sends that name as
Host, and it is not on the list. A page that sends requests across origins says so in Origin or
Sec-Fetch-Site, and no answer has the headers that would let it read. And the API needs an
Authorization header, which such a request may have only after asking by OPTIONS.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import NamedTuple

from batchsim.errors import AuthenticationFailed, Refused
from batchsim.server.http.server_limits import ServerLimits
from batchsim.wire.http.problem import MethodNotAllowed

READING = frozenset({"GET", "HEAD"})
METHODS = READING | {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BODIES = frozenset({"", "application/json", "multipart/form-data"})
"""Accepted content types. A form of another origin can send only the multipart one unasked, and
then without an Authorization header. Scripts often send no type at all."""

CONTROL_PATH = "/_batchsim/"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_JUDGED = frozenset(  # the headers by which a request is refused for its origin or its body
    {"sec-fetch-site", "origin", "upgrade", "content-encoding", "content-type", "content-length"}
    | {"transfer-encoding"}
)

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")


class Head(NamedTuple):
    """All of a request before its body, and the address of the client.

    `target` is the path and the query as they came.
    """

    method: str
    target: str
    http_version: str
    headers: tuple[tuple[str, str], ...]
    client: str = "127.0.0.1"

    def all(self, name: str) -> list[str]:
        """Return the values of a header; its name is in lower case."""
        return [value for key, value in self.headers if key == name]

    def first(self, name: str) -> str | None:
        """Return the first value of a header, None when it is absent."""
        return next((value for key, value in self.headers if key == name), None)


class Guard:
    """Accepts or refuses requests.

    The Host header may have one of `allowed_hosts`, names without a port, or a loopback name. With
    `any_address` it may also be any IP address, which nobody can make point elsewhere, unlike a
    name. The port is ignored, since it may be a forwarded one.
    """

    def __init__(
        self,
        limits: ServerLimits,
        *,
        allowed_hosts: Collection[str] = (),
        any_address: bool = False,
    ) -> None:
        self._limits = limits
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in allowed_hosts}
        self._any_address = any_address

    def check(self, head: Head) -> None:
        """Raise Refused, with the status for the reason, unless the request is accepted."""
        self._check_size(head)
        self._check_host(head)
        _check_method(head)
        _check_control(head)
        if not _JUDGED.isdisjoint([name for name, _ in head.headers]):
            _check_origin(head)
            _check_transfer(head)
            _check_body(head)
            self._check_length(head)

    def _check_length(self, head: Head) -> None:
        length = head.first("content-length") or "0"
        if length.isdecimal() and int(length[:20]) > self._limits.body_bytes:
            raise Refused("The request body is too large.", status=413)

    def _check_size(self, head: Head) -> None:
        limits = self._limits
        if len(head.target) > limits.url_bytes:
            raise Refused(f"The URL is longer than {limits.url_bytes} bytes.", status=414)
        size = sum([len(name) + len(value) + 4 for name, value in head.headers])
        if size > limits.head_bytes or len(head.headers) > limits.headers:
            raise Refused("The headers of the request are too large.", status=431)

    def _check_host(self, head: Head) -> None:
        hosts = head.all("host")
        if not hosts and head.http_version == "1.0":
            return  # No browser speaks HTTP/1.0, and old scripts name no host.
        if len(hosts) != 1:
            raise Refused("The request must have exactly one Host header.")
        parsed = _HOST.fullmatch(hosts[0].strip().lower())
        if parsed is None or not self._allows(parsed[1]):
            raise Refused(
                "This server does not answer to the host that the request names. Use 127.0.0.1, "
                "or start the server with --allowed-host.",
                status=421,
            )

    def _allows(self, host: str) -> bool:
        if host in self._hosts:
            return True
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return self._any_address


def unknown_method() -> Refused:
    message = "The server does not know the method of the request."
    return MethodNotAllowed(message, allowed=tuple(sorted(METHODS - {"OPTIONS"})))


def _check_method(head: Head) -> None:
    if head.method == "OPTIONS":
        raise AuthenticationFailed("Requests from other origins are not allowed.", status=403)
    if head.method not in METHODS:
        raise unknown_method()


def _check_origin(head: Head) -> None:
    site = (head.first("sec-fetch-site") or "").lower()
    changing = head.method not in READING or head.first("upgrade") is not None
    foreign = any(
        origin.lower() != f"http://{head.first('host')}".lower() for origin in head.all("origin")
    )
    if site == "cross-site" or (changing and (foreign or site == "same-site")):
        raise AuthenticationFailed("Requests from other origins are not allowed.", status=403)


def _check_control(head: Head) -> None:
    if not head.target.startswith(CONTROL_PATH):
        return
    if not ipaddress.ip_address(head.client.partition("%")[0]).is_loopback:
        raise AuthenticationFailed("The control API is for the server's own machine.", status=403)


def _check_transfer(head: Head) -> None:
    """Refuse codings besides chunked, which the parser would hand over as they are."""
    codings = ",".join(head.all("transfer-encoding"))
    if codings.strip().lower() not in {"", "chunked"}:
        raise Refused("The server takes no Transfer-Encoding but chunked.", status=501)


def _check_body(head: Head) -> None:
    if any(value.strip().lower() not in {"", "identity"} for value in head.all("content-encoding")):
        raise Refused("The server takes no encoded bodies: send no Content-Encoding.", status=415)
    kind = (head.first("content-type") or "").partition(";")[0].strip().lower()
    if kind not in BODIES and head.method not in READING:
        raise Refused(
            "The Content-Type of the request must be application/json, or multipart/form-data "
            "where files are sent.",
            status=415,
        )
