"""The pending uploads of one key.

Theory of operation. The bytes of all parts of an upload go into one spool, in the order in which
they arrive; a part is a list of ranges in it. Completing reads the ranges of the parts in the
client's order and gives them to the backend as one file. An upload is gone an hour after its
creation by the backend's clock. It lives in the process, so it does not survive a restart.
"""

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, BinaryIO, Literal, NamedTuple

from batchsim.domain.files import File
from batchsim.domain.limits import HOUR
from batchsim.errors import NotFound, Refused
from batchsim.jsonl import BLOCK
from batchsim.stores.spool import Spool, joined

LIFETIME = HOUR  # seconds from an upload's creation until it is gone (API reference)
MOST_PARTS = 10_000  # parts of one upload (ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload in parts (API reference, "The upload object").

    `bytes` is the size that the client announced. `file_lifetime` is in seconds; None stands for
    the default.
    """

    id: str
    bytes: int
    filename: str
    purpose: str
    created_at: int
    file_lifetime: int | None = None
    status: Literal["pending", "completed", "cancelled"] = "pending"
    file: File | None = None

    @property
    def expires_at(self) -> int:
        """The end of its hour, in unix seconds."""
        return self.created_at + LIFETIME

    def to_object(self) -> dict[str, Any]:
        """The API's JSON object, keys in the order of the API reference."""
        return {
            "id": self.id,
            "object": "upload",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": self.status,
            "expires_at": self.expires_at,
            "file": None if self.file is None else self.file.to_object(),
        }


class _Piece(NamedTuple):
    start: int
    length: int


class PendingUpload:
    """An upload and its parts so far. May be used from any thread."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._parts: dict[str, list[_Piece]] = {}
        self._spool = Spool()
        self._lock = threading.Lock()

    @property
    def upload(self) -> Upload:
        return self._upload

    def receive(self, content: IO[bytes]) -> Callable[[], str]:
        """Store the rest of `content`; return a function that makes a part of it.

        The function returns the part's id. Both raise Refused when no more parts are allowed.
        """
        with self._lock:
            self._check_room()
            pieces = []
            while block := content.read(BLOCK):
                pieces.append(_Piece(self._spool.append(block), len(block)))
        return lambda: self._add_part(pieces)

    def _add_part(self, pieces: list[_Piece]) -> str:
        with self._lock:
            self._check_room()
            part_id = _identifier("part", self._upload.id, len(self._parts))
            self._parts[part_id] = pieces
            return part_id

    def _check_room(self) -> None:
        self._check_pending("add a Part to")
        if len(self._parts) == MOST_PARTS:
            raise Refused(f"An Upload has at most {MOST_PARTS:,} Parts.")

    def complete(
        self, part_ids: Sequence[str], md5: str | None, store: Callable[[BinaryIO], File]
    ) -> Upload:
        """Make a file of the parts, in that order, by `store`.

        Raises Refused when a part is unknown or named twice, or when the size or the MD5 digest is
        wrong. The upload then stays as it is.
        """
        with self._lock:
            self._check_pending("complete")
            pieces = self._pieces(part_ids)
            size = sum(piece.length for piece in pieces)
            if size != self._upload.bytes:
                raise _wrong_size(self._upload.bytes, size)
            if md5 is not None and md5.lower() != self._md5(pieces):
                raise Refused(
                    "The MD5 checksum of the Parts does not match the 'md5' given.", param="md5"
                )
            pending, self._upload = self._upload, replace(self._upload, status="completed")
        try:  # without the lock: a store has locks of its own
            with joined(self._read(pieces)) as content:
                file = store(content)
        except BaseException:
            self._upload = pending
            raise
        with self._lock:
            return self._end(replace(pending, status="completed", file=file))

    def cancel(self) -> Upload:
        """Cancel the upload and forget its parts. A second call changes nothing."""
        with self._lock:
            if self._upload.status == "cancelled":
                return self._upload
            self._check_pending("cancel")
            return self._end(replace(self._upload, status="cancelled"))

    def close(self) -> None:
        """Forget the parts, unless they become a file just now."""
        with self._lock:
            if self._upload.status == "completed":
                return
            self._parts.clear()
            self._spool.close()

    def _end(self, upload: Upload) -> Upload:
        self._upload = upload
        self._parts.clear()
        self._spool.close()
        return upload

    def _check_pending(self, intent: str) -> None:
        if self._upload.status != "pending":
            raise Refused(f"Cannot {intent} an Upload with status '{self._upload.status}'.")

    def _pieces(self, part_ids: Sequence[str]) -> list[_Piece]:
        if len(set(part_ids)) != len(part_ids):
            raise Refused("A Part is named twice.", param="part_ids")
        pieces: list[_Piece] = []
        for part_id in part_ids:
            if part_id not in self._parts:
                raise Refused(f"No such Part of this Upload: {part_id}", param="part_ids")
            pieces += self._parts[part_id]
        return pieces

    def _md5(self, pieces: list[_Piece]) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for content in self._read(pieces):
            digest.update(content)
        return digest.hexdigest()

    def _read(self, pieces: list[_Piece]) -> Iterator[bytes]:
        return (self._spool.read(start, length) for start, length in pieces)


class PendingUploads:
    """The uploads of one key, by id. May be used from any thread."""

    def __init__(self) -> None:
        self._uploads: dict[str, PendingUpload] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def create(
        self, now: float, *, bytes: int, filename: str, purpose: str, file_lifetime: int | None
    ) -> Upload:
        with self._lock:
            self._sweep(now)
            upload = Upload(
                id=_identifier("upload", str(int(now)), next(self._numbers)),
                bytes=bytes,
                filename=filename,
                purpose=purpose,
                created_at=int(now),
                file_lifetime=file_lifetime,
            )
            self._uploads[upload.id] = PendingUpload(upload)
            return upload

    def get(self, upload_id: str, now: float) -> PendingUpload:
        """Return the upload of that id. Raises NotFound for none, and when its hour is over."""
        with self._lock:
            self._sweep(now)
            if upload_id not in self._uploads:
                raise NotFound(f"No such Upload object: {upload_id}", status=404, param="id")
            return self._uploads[upload_id]

    def _sweep(self, now: float) -> None:
        gone = [each for each in self._uploads.values() if each.upload.expires_at <= now]
        for pending in gone:
            del self._uploads[pending.upload.id]
            pending.close()


def _wrong_size(announced: int, came: int) -> Refused:
    return Refused(
        f"The Parts have {came} bytes, but the Upload was created for {announced} bytes."
    )


def _identifier(kind: str, owner: str, number: int) -> str:
    digest = hashlib.blake2b(f"{kind} {owner} {number}".encode(), digest_size=16)
    return f"{kind}_{digest.hexdigest()}"
