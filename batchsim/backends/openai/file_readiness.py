"""Waiting for services that prepare an uploaded file before a batch can be made of it."""

from batchsim.backends import Backend
from batchsim.errors import Refused, Unavailable

READY = "processed"
BROKEN = frozenset({"error", "failed", "deleted"})
LOOK_EVERY = 5.0  # seconds between two looks at the file
PATIENCE = 300.0  # seconds until the wait is given up for now


def wait_until_ready(backend: Backend, file_id: str) -> None:
    """Return once the file can be used; nothing is changed by waiting for it.

    Raises Refused when the service could not read the file, Unavailable when it is still at it,
    and whatever `retrieve_file` raises.
    """
    until = backend.clock.now() + PATIENCE
    while True:
        file = backend.retrieve_file(file_id)
        status = file.status.lower()
        if status == READY:
            return
        if status in BROKEN:
            raise Refused(
                f"the service could not use the file {file_id}: {file.status_details or status}",
                param="input_file_id",
            )
        if backend.clock.now() >= until:
            raise Unavailable(
                f"the file {file_id} is still {status}; no batch was made", hint="try again later"
            )
        backend.clock.sleep(LOOK_EVERY)
