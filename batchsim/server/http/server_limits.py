"""Limits on one client, and on all clients together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Sizes are in bytes, times in real seconds.

    `url_bytes`, `head_bytes` and `headers` limit the head of a request: its target, all of its
    headers, and their number. `body_bytes` limits the announced size of a body: a file of 512 MB
    and the form around it. At most `connections` are open, and at most `uploads` bodies of more
    than 256 KiB are read at a time; others wait. A head must be complete `head_seconds` after its
    first byte. A connection or a body may be silent for `idle_seconds`. When the server stops,
    requests under way may take `drain_seconds` to end.
    """

    url_bytes: int = 8_192
    head_bytes: int = 65_536
    headers: int = 256
    body_bytes: int = 513_000_000
    connections: int = 1_024
    uploads: int = 16
    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    drain_seconds: float = 10.0
