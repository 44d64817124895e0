"""One backend for each API key, so that a key sees only its own files and batches.

Keys themselves are never kept; a tenant is known by the digest of its key.
"""

import hashlib
import threading
from collections.abc import Callable

from batchsim.backends import Backend


def key_digest(key: str) -> str:
    """Return the name of a key wherever it is kept or shown: 32 hex digits of its SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Tenants:
    """The backends by key. May be called from any thread.

    `make` makes the backend of a key on its first use, from the key's digest (see `key_digest`),
    which serves as a folder's name and as a part of the seed. It is called once for each digest. An
    error passes to the caller, and the next call tries again.
    """

    def __init__(self, make: Callable[[str], Backend]) -> None:
        self._make = make
        self._backends: dict[str, Backend] = {}
        self._lock = threading.Lock()

    def backend(self, key: str) -> Backend:
        return self.open(key_digest(key))

    def open(self, digest: str) -> Backend:
        """Return the backend of a digest, for example one that an earlier process used."""
        if (known := self._backends.get(digest)) is not None:  # whoever makes another may take long
            return known
        with self._lock:
            backend = self._backends.get(digest)
            if backend is None:
                backend = self._backends[digest] = self._make(digest)
            return backend

    def backends(self) -> dict[str, Backend]:
        """Return the backends so far by digest, in the order of their first use."""
        with self._lock:
            return dict(self._backends)

    def reset(self) -> dict[str, Backend]:
        """Forget all backends and return them, to be closed. Every key starts again."""
        with self._lock:
            forgotten, self._backends = self._backends, {}
            return forgotten


class SharedBackend:
    """Stands for Tenants when all keys share one backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def backend(self, _: str) -> Backend:
        return self._backend
