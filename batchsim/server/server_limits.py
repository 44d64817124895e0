"""What one client, and all of them together, may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Sizes in bytes, times in real seconds.

    `url_bytes`, `head_bytes` and `headers` bound one request's head: its target, all of its
    headers, and their number; `body_bytes` is what a body may say that it has: a file of 512 MB and
    the form around it. `connections` may be open at a time; of their bodies `uploads` that
    exceed 1 MiB are taken in at a time, the others wait. A head must be complete `head_seconds`
    after its first byte; a connection or a body may be silent for `idle_seconds`. When the server
    stops, requests under way get `drain_seconds` to end.
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
