"""Events of batches that have ended, signed by Standard Webhooks.

All depends only on the batch, the secret and the given time. So a repeated delivery of an event has
the same id and body, and its receiver can recognize it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

import orjson

from batchsim.domain.batches import Batch
from batchsim.domain.lifecycle import STAMPS
from batchsim.errors import UsageError

USER_AGENT = "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"

SECRET_PREFIX = "whsec_"  # noqa: S105 - it marks a secret and is none


def event(batch: Batch) -> bytes:
    """Return the event of the end of `batch`, such as `batch.completed`, as JSON.

    It has the batch's id and the time at which it reached its status, and no more (API reference,
    "Webhook events"). Raises ValueError for a batch that has not ended.
    """
    if not batch.status.is_terminal:
        raise ValueError(f"{batch.id} is {batch.status} and has not ended")
    digest = hashlib.blake2b(f"{batch.id} {batch.status}".encode(), digest_size=16)
    return orjson.dumps(
        {
            "id": f"evt_{digest.hexdigest()}",
            "object": "event",
            "created_at": getattr(batch, STAMPS[batch.status]),
            "type": f"batch.{batch.status}",
            "data": {"id": batch.id},
        }
    )


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` of a delivery.

    `webhook_id` and `timestamp` (unix seconds) are those of the headers `webhook-id` and
    `webhook-timestamp`. Raises UsageError when `secret` is not `whsec_` and base64.
    """
    signed = b"%b.%d.%b" % (webhook_id.encode(), timestamp, body)
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def headers(secret: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery of an event, whose `body` was made by `event`.

    `timestamp` is the time of the delivery in unix seconds. Raises UsageError when `secret` is not
    `whsec_` and base64.
    """
    webhook_id = orjson.loads(body)["id"]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, webhook_id, timestamp, body),
    }


TOLERANCE = 300.0  # seconds that a timestamp may be off (Standard Webhooks: five minutes)


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Check that a delivery was signed with `secret` in the last minutes; `now` is in unix seconds.

    `headers` have their names in lower case. The signature header may hold several signatures,
    separated by spaces. Raises UsageError when `secret` is not `whsec_` and base64.
    """
    _key(secret)
    webhook_id, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not webhook_id or not (moment.isascii() and moment.isdecimal() and len(moment) < 16):
        return False
    if abs(now - int(moment)) > TOLERANCE:
        return False
    expected = sign(secret, webhook_id, int(moment), body).encode()
    given = headers.get("webhook-signature", "").encode("utf-8", "surrogateescape").split(b" ")
    return any(hmac.compare_digest(each, expected) for each in given)


def _key(secret: str) -> bytes:
    try:
        if secret.startswith(SECRET_PREFIX):
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
            if key:
                return key
    except (binascii.Error, ValueError):
        pass
    raise UsageError(
        "the webhook secret is invalid", hint="a secret is whsec_ and base64, as in whsec_c2VjcmV0"
    )
