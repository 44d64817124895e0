"""The simulated service as a test sees it: its files, batches, requests and webhooks."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from batchsim.backends.fake import FakeBackend
from batchsim.clock import SystemClock, VirtualClock
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.domain.lines import RequestLine
from batchsim.testing.marker_options import MarkerOptions
from batchsim.verdict import Analysis, Verdict, judge

MOST_NAMED = 10  # the most custom_ids that a failure names; the rest is counted


class Webhook(NamedTuple):
    """One delivery of an event: a POST with these headers (names in lower case) and this body."""

    headers: dict[str, str]
    body: bytes


class Account:
    """The files and batches of one simulated account, fresh for one test.

    `backend` is the FakeBackend itself, for the nine methods of a Backend; `clock` is its
    VirtualClock. `seed` and `scenario` (a name) say how it behaves. Look-ups by the test itself do
    not appear in `timeline`.
    """

    def __init__(self, options: MarkerOptions) -> None:
        self.seed = options.seed
        self.scenario = options.scenario
        self.clock = VirtualClock()
        self.backend = FakeBackend(clock=self.clock, seed=options.seed, **options.options)

    @property
    def batches(self) -> list[Batch]:
        """All batches as they are now, oldest first."""
        return self.backend.undisturbed.all_batches()

    @property
    def files(self) -> list[File]:
        """All files as they are now, oldest first: inputs, outputs and errors."""
        return self.backend.undisturbed.all_files()

    @property
    def requests(self) -> list[RequestLine]:
        """The request lines of all batches, oldest batch first, in input order."""
        analysis = Analysis(self.backend.history())
        return [
            line
            for each in analysis.history.batches
            for line in analysis.lines.get(each.batch.id, ())
        ]

    @property
    def timeline(self) -> str:
        """The requests to the account and what came of them, one line each, in virtual seconds."""
        return self.backend.requests.timeline()

    @property
    def verdict(self) -> Verdict:
        """The mistakes of the code under test, judged by its requests so far: see batchsim.verdict.

        `verdict.is_clean` is True without mistakes; `verdict.assert_clean()` fails with them.
        """
        return judge(self.backend.history())

    def webhooks(self, secret: str) -> list[Webhook]:
        """The webhooks that the service would send now, for the handler of the code under test.

        There is one for each batch that has ended since the last call, in the order in which they
        ended, signed with `secret` (`whsec_` and base64) at the machine's own time. Raises
        UsageError for a malformed secret.
        """
        from batchsim.wire import webhook_events  # a bare backend needs nothing of the REST surface

        webhook_events.sign(secret, "", 0, b"")  # refuses a malformed secret at once
        now = int(SystemClock().now())
        bodies = map(webhook_events.event, self.backend.take_ended())
        return [Webhook(webhook_events.headers(secret, now, body), body) for body in bodies]

    def assert_submitted(self, *, custom_ids: Iterable[str]) -> None:
        """Fail unless the lines of all batches have exactly these custom_ids.

        In how many batches each of them is does not matter here, nor does the order.
        """
        __tracebackhide__ = True
        wanted = Counter(custom_ids)
        found = Counter(request.custom_id for request in self.requests)
        problems = [
            *_named("never submitted", wanted.keys() - found.keys(), wanted),
            *_named("submitted, but not expected", found.keys() - wanted.keys(), found),
        ]
        if problems:
            raise AssertionError("\n".join([*problems, self._batches_in_words()]))

    def assert_no_double_submission(self) -> None:
        """Fail when a request was submitted again although nothing had gone wrong with it.

        A request is the same when its custom_id, url and body are. It may go again when its batch
        failed, or ended without a good result for it; not while that batch lives, nor when it has
        a good result: both are paid twice.
        """
        __tracebackhide__ = True
        resends = Analysis(self.backend.history()).resends
        if not resends:
            return
        lines = [
            f"  {each.custom_id!r} in {each.second.id}, after {each.first.id}, {each.state}"
            for each in resends[:MOST_NAMED]
        ]
        if len(resends) > MOST_NAMED:
            lines.append(f"  and {len(resends) - MOST_NAMED:,} more")
        raise AssertionError("\n".join([f"submitted again without need: {len(resends)}", *lines]))

    def _batches_in_words(self) -> str:
        batches = self.batches
        if not batches:
            return "no batch was created"
        states = Counter(str(batch.status) for batch in batches)
        return "batches: " + ", ".join(f"{count} {status}" for status, count in states.items())


def _named(what: str, custom_ids: Iterable[str], order: Iterable[str]) -> list[str]:
    chosen = set(custom_ids)
    if not chosen:
        return []
    names = [repr(each) for each in order if each in chosen]
    if len(names) > MOST_NAMED:
        names[MOST_NAMED:] = [f"and {len(names) - MOST_NAMED:,} more"]
    return [f"{what}: {', '.join(names)}"]
