"""Whose files and batches a request sees: every API key has a backend of its own.

A key itself is kept nowhere; a tenant is known by its key's digest.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from batchsim.backends import Backend


def key_digest(key: str) -> str:
    """What stands for a key wherever it would be kept or shown: 32 hex digits of its SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Tenants:
    """The backends by key. May be called from any thread.

    `make` makes the backend of a key on its first use, from the key's digest (see `key_digest`):
    a name for its folder, and a part of its seed, so that keys do not share ids. It is called once
    for each digest; what it raises comes out of the call that asked, and the next one tries again.
    """

    def __init__(self, make: Callable[[str], Backend]) -> None:
        self._make = make
        self._backends: dict[str, Backend] = {}
        self._lock = threading.Lock()

    def backend(self, key: str) -> Backend:
        """The backend of a key."""
        return self.open(key_digest(key))

    def open(self, digest: str) -> Backend:
        """The backend of the key with that digest: for instance, one that an earlier process had."""
        if (known := self._backends.get(digest)) is not None:  # whoever makes another may take long
            return known
        with self._lock:
            backend = self._backends.get(digest)
            if backend is None:
                backend = self._backends[digest] = self._make(digest)
            return backend

    def backends(self) -> dict[str, Backend]:
        """The backends that there are by now, by digest, in the order of their first use."""
        with self._lock:
            return dict(self._backends)

    def reset(self) -> dict[str, Backend]:
        """Forget all backends, so that every key begins anew; those forgotten, to be closed."""
        with self._lock:
            forgotten, self._backends = self._backends, {}
            return forgotten


class SharedBackend:
    """The same for a backend that all keys share."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def backend(self, _: str) -> Backend:
        """The backend of any key."""
        return self._backend
