"""A simulated service for each API key: files, batches and chance of its own, one time for all.

A key is known here by its digest only: it names the key's folder on the disk and, with the seed,
decides the key's draws, so that no two keys ever see the same id.

    FOLDER/keys/DIGEST/    a DiskStore for each key
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path

from batchsim.backends.fake import FakeBackend, Pacing
from batchsim.backends.fake.faults import NO_FAULTS
from batchsim.clock import Clock, SystemClock
from batchsim.errors import UsageError
from batchsim.server.clock import AdjustableClock
from batchsim.stores.disk import DiskStore
from batchsim.stores.memory import MemoryStore


class Fakes:
    """Makes a FakeBackend for each key and keeps hold of it.

    `folder` is where they rest, in memory when None; what it holds is opened at once, and time goes
    on from the latest that was ever noted in it. `clock` is the time of them all, the machine's
    unless given. Raises UsageError when the folder cannot be used or another process uses it.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        clock: Clock | None = None,
        pacing: Pacing | str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.clock = AdjustableClock(clock or SystemClock())
        self._seed = seed
        self._pacing = pacing
        self._folder = None if folder is None else folder / "keys"
        self._faults = NO_FAULTS
        self._lock = threading.Lock()
        self._backends: dict[str, FakeBackend] = {}
        self._reopen()

    def backend(self, key: str) -> FakeBackend:
        """The service of a key, made when it is first asked for."""
        digest = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        with self._lock:
            return self._open(digest)

    def by_digest(self) -> Mapping[str, FakeBackend]:
        """All that were made, by the digest of their key."""
        with self._lock:
            return dict(self._backends)

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            for backend in self._backends.values():
                backend.close()
            self._backends.clear()

    def _open(self, digest: str) -> FakeBackend:
        if digest not in self._backends:
            store = MemoryStore() if self._folder is None else DiskStore(self._folder / digest)
            seed = hashlib.blake2b(f"{self._seed} {digest}".encode(), digest_size=8).digest()
            self._backends[digest] = FakeBackend(
                seed=int.from_bytes(seed, "big"),
                clock=self.clock,
                pacing=self._pacing,
                store=store,
                faults=self._faults,
            )
        return self._backends[digest]

    def _reopen(self) -> None:
        if self._folder is None:
            return
        try:
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self._folder.parent} cannot hold the data: {error.strerror}",
                hint="choose a folder that can be made and written: --data DIR",
            ) from None
        for path in sorted(self._folder.iterdir()):
            self._open(path.name)
