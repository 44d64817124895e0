"""A simulated service for each API key, with files, batches and a seed of its own.

FOLDER/keys/DIGEST/    the store of one key; the key itself is never kept
"""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchsim.backends.fake import NO_FAULTS, FakeBackend, Faults, Pacing, pacing_of, scenario_of
from batchsim.backends.fake.ids import derived_seed
from batchsim.clock import Clock, SystemClock, VirtualClock
from batchsim.errors import UsageError
from batchsim.jsonl import replace_file
from batchsim.server.adjustable_clock import AdjustableClock
from batchsim.stores import Store
from batchsim.stores.memory import MemoryStore
from batchsim.wire import Tenants

if TYPE_CHECKING:  # what only a folder needs is imported late
    from filelock import FileLock

    from batchsim.stores.lent import Lender

_CLOCK = "clock"
_DIGEST = re.compile(r"[0-9a-f]{32}")


class FakesByKey:
    """Makes a FakeBackend for each key; `tenants` finds them.

    They are stored in `folder`, or in memory when None. An existing folder is opened at once, and
    time goes on from the latest moment that it records. `clock` is that of the machine unless
    given. All behave as `scenario` says, with `faults` added. Raises UsageError for an unknown
    scenario, and for a folder that is in use or cannot be used.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        clock: Clock | None = None,
        pacing: Pacing | str | None = None,
        scenario: str = "completed",
        faults: Faults = NO_FAULTS,
        folder: Path | None = None,
    ) -> None:
        self.clock = AdjustableClock(clock or SystemClock())
        self._in_background = not isinstance(clock, VirtualClock)
        self.tenants = Tenants(self._make)
        self._scenario = scenario_of(scenario)
        self._first_faults = self.faults = self._scenario.faults + faults
        self._seed = seed
        self._pacing = pacing_of(pacing)
        self._folder = None if folder is None else folder / "keys"
        self._owner: FileLock | None = None
        self._lender: Lender | None = None
        self._found: dict[str, Store] = {}
        if self._folder is not None:
            try:
                self._reopen(self._folder)
            except BaseException:
                self.close()
                raise

    def backends(self) -> dict[str, FakeBackend]:
        return {
            digest: backend
            for digest, backend in self.tenants.backends().items()
            if isinstance(backend, FakeBackend)
        }

    def set_faults(self, faults: Faults) -> None:
        self.faults = faults
        for backend in self.backends().values():
            backend.set_faults(faults)

    def reset(self) -> None:
        """Forget all files and batches, and return to the first faults. Time goes on.

        Requests under way may crash.
        """
        self._forget()
        self.faults = self._first_faults
        if self._folder is not None:
            for path in self._folder.iterdir():
                shutil.rmtree(path)

    def catch_up(self) -> None:
        """Wait until everything that is due has happened, in large batches too."""
        for backend in self.backends().values():
            backend.undisturbed.catch_up()

    def note_time(self) -> None:
        """Record the time, so that the clock is not behind it when the folder is opened again.

        Every change in a store does this too; here it is for a clock that was advanced.
        """
        if self._folder is not None:
            with replace_file(self._folder.parent / _CLOCK) as stream:
                stream.write(f"{self.clock.now()!r}\n".encode())

    def close(self) -> None:
        self._forget()
        for store in self._found.values():
            store.close()
        if self._owner is not None:
            self._owner.release()

    def _forget(self) -> None:
        backends = self.backends()
        self.tenants.reset()
        for backend in backends.values():
            backend.close()

    def _make(self, digest: str) -> FakeBackend:
        store = self._found.pop(digest, None)
        if store is None:
            store = MemoryStore() if self._folder is None else self._on_disk(self._folder / digest)
        return FakeBackend(
            seed=derived_seed(self._seed, digest),
            clock=self.clock,
            pacing=self._pacing,
            store=store,
            scenario=replace(self._scenario, faults=NO_FAULTS),
            faults=self.faults,
            in_background=self._in_background,
        )

    def _on_disk(self, folder: Path) -> Store:
        from batchsim.stores.lent import LentStore

        assert self._lender is not None  # noqa: S101 - tells the type checker
        return LentStore(self._lender, folder)

    def _reopen(self, folder: Path) -> None:
        from filelock import FileLock, Timeout

        from batchsim.stores.lent import Lender

        lender = self._lender = Lender()
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(exist_ok=True)
            self._owner = FileLock(folder.parent / "lock", timeout=0, thread_local=False)
            self._owner.acquire()
            digests = sorted(path.name for path in folder.iterdir() if _DIGEST.fullmatch(path.name))
        except Timeout:
            raise UsageError(
                f"{folder.parent} is in use by another server",
                hint="stop the other one, or choose another folder",
            ) from None
        except OSError as error:
            raise UsageError(
                f"{folder.parent} cannot hold the data: {error.strerror}",
                hint="choose a folder that can be made and written: --data DIR",
            ) from None
        for digest in digests:
            self._found[digest] = self._on_disk(folder / digest)
        ahead = self.faults.clock_ahead_by
        noted = [each.latest - ahead for each in self._found.values() if each.latest]
        latest = max([_noted(folder.parent / _CLOCK), *noted])
        if latest > self.clock.now():
            self.clock.advance_to(latest)
        for digest in digests:
            self.tenants.open(digest)
        lender.is_serving = True


def _noted(path: Path) -> float:
    try:
        moment = float(path.read_text("ascii"))
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError):
        moment = math.nan
    if not math.isfinite(moment):
        raise UsageError(
            f"{path} does not hold a time", hint="remove it: the clock then goes by the stores"
        )
    return moment
