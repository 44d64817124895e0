"""The server's errors on stderr, without keys and control characters."""

import contextlib
import logging
import re
import sys
from collections.abc import Collection, Iterator

REDACTED = "[redacted]"

_SECRETS = re.compile(
    r"\bsk-[A-Za-z0-9_-]{4,}|\bwhsec_[A-Za-z0-9+/=_-]+|(?i:\b(?:bearer|basic)\s+)[^\s'\",]+"
    r"|(?<=://)[^/\s@]+:[^/\s@]+(?=@)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Redactor(logging.Formatter):
    """Formats a record and its traceback. Redacts `known` secrets and what looks like one."""

    def __init__(self, known: Collection[str] = ()) -> None:
        super().__init__("%(levelname)s: %(message)s")
        self._known = sorted((secret for secret in known if secret), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._known:
            text = text.replace(secret, REDACTED)
        text = _SECRETS.sub(REDACTED, text)
        return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


@contextlib.contextmanager
def log_on_stderr(known: Collection[str] = ()) -> Iterator[None]:
    """Write the server's errors on stderr while the block runs, without the `known` secrets."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Redactor(known))
    handler.setLevel(logging.ERROR)
    loggers = [logging.getLogger(f"batchsim.{part}") for part in ("server", "stores")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
