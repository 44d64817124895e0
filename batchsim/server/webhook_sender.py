"""Send webhooks about batches that have ended.

Theory of operation. A thread looks for ended batches a few times a second. Each makes one event,
and the event one delivery for every URL. A delivery without a 2xx answer is repeated after 1, 2,
4, ... seconds, at most an hour apart, for 72 hours. Its webhook-id stays the same, so a receiver
can recognize it. Deliveries under way are lost when the process ends.

Time here is that of the machine, not of the simulator: receivers compare the timestamp of a
delivery with their own clock.
"""

import http.client
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from batchsim.clock import Clock, SystemClock
from batchsim.domain.batches import Batch
from batchsim.errors import UsageError
from batchsim.wire import webhook_events

LOOK_SECONDS = 0.25
ANSWER_SECONDS = 5.0
LONGEST_PAUSE = 3_600.0
PATIENCE = 72 * 3_600.0  # seconds; the service gives up then too (API reference, "Webhooks")
AT_ONCE = 8

logger = logging.getLogger("batchsim.server")

Post = Callable[[str, Mapping[str, str], bytes], int]


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one URL. Times are in unix seconds."""

    url: str
    webhook_id: str
    body: bytes
    begun: float
    due: float
    attempts: int = 0


class WebhookSender:
    """Delivers the events of the batches that `ended` yields, while its block runs.

    `secret` is `whsec_` and base64. `post` sends one request and returns the status of its answer.
    Raises UsageError for an invalid secret, and for a URL that is not http or https.
    """

    def __init__(
        self,
        ended: Callable[[], Iterable[Batch]],
        urls: Sequence[str],
        secret: str,
        *,
        clock: Clock | None = None,
        post: Post | None = None,
    ) -> None:
        for url in urls:
            _check_url(url)
        webhook_events.sign(secret, "", 0, b"")  # so that an invalid secret is refused now
        self._ended = ended
        self._urls = urls
        self._secret = secret
        self._clock = clock or SystemClock()
        self._post = post or post_once
        self._waiting: list[Delivery] = []
        self._stopped = threading.Event()
        self._senders = ThreadPoolExecutor(AT_ONCE, "batchsim-webhook")
        self._thread = threading.Thread(target=self._run, name="batchsim-webhooks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._senders.shutdown()

    def deliver_due(self) -> None:
        """Make the deliveries of batches that have ended, and try once each that is due."""
        now = self._clock.now()
        for batch in self._ended():
            body = webhook_events.event(batch)
            webhook_id = json.loads(body)["id"]
            self._waiting += [Delivery(url, webhook_id, body, now, now) for url in self._urls]
        due = [each for each in self._waiting if each.due <= now]
        later = [each for each in self._waiting if each.due > now]
        tried = self._senders.map(self._try, due)
        self._waiting = later + [each for each in tried if each is not None]

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self.deliver_due()
            except Exception:
                logger.exception("looking for ended batches failed")

    def _try(self, delivery: Delivery) -> Delivery | None:
        now = self._clock.now()
        headers = webhook_events.headers(self._secret, int(now), delivery.body)
        try:
            status = self._post(delivery.url, headers, delivery.body)
            if 200 <= status < 300:
                return None
            reason = f"status {status}"
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        if now - delivery.begun >= PATIENCE:
            logger.error("gave up telling %s of %s: %s", delivery.url, delivery.webhook_id, reason)
            return None
        pause = min(2.0**delivery.attempts, LONGEST_PAUSE)
        return replace(delivery, due=now + pause, attempts=delivery.attempts + 1)


def post_once(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Send one request and return the status of its answer. No redirect is followed."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    try:
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        connection.request("POST", target, body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"{url!r} is no URL that webhooks can go to",
            hint="it looks like http://127.0.0.1:9000/webhooks",
        )
