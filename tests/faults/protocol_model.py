"""A model of "exactly one paid batch per shard", small enough to be explored whole.

    python tests/faults/protocol_model.py        # the table of all protocols

The service knows no idempotency key. A request to create may be lost on its way, take effect and
lose its answer, or take effect a minute or twenty late, also twice; a batch may stay out of the
list
for half a minute or a quarter of an hour; the runner may be killed between any two steps and is
started again at once; and a second runner may begin on a copy of the journal, as it is or as it was
at any moment before, and either may wait while the other works. Then a file may be as late in its
list as a batch in the other. Every such choice is asked of an oracle, and the explorer replays
every
combination within a budget of faults, kills and changes between runners. It is exhaustive and
deterministic, and knows nothing of the production
code; test_protocol.py drives that code through the same fates.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

VALIDATING = 45
"""A batch cancelled within so many seconds of its creation costs nothing."""

SETTLE, LOOK_AGAIN, WINDOW = 600, 20, 25 * 3_600

CLAIM = 40
"""How long a runner waits between its first upload and its look at the list of files."""

PATIENCE = 3_600
"""How long it looks for its own file there."""


class Ambiguous(Exception):
    """No answer came."""


class Refused(Exception):
    """The service said no."""


class Oracle:
    """Answers every choice from a script, and with the first option where that ends."""

    def __init__(self, script):
        self.script, self.trail = script, []

    def choose(self, options):
        at = len(self.trail)
        answer = self.script[at] if at < len(self.script) else 0
        self.trail.append((answer, options))
        return answer


@dataclass(frozen=True)
class Budget:
    faults: int = 2
    kills: int = 2
    switches: int = 0
    fence_holds: bool = True
    """Whether a batch over a deleted file is refused, or fails while it is validating."""
    doubles: bool = False
    """Whether the network may deliver a request twice, which no client can prevent."""
    lags: tuple = (0, 30, 900)
    """For how long a batch may stay out of the list."""
    file_lags: tuple = (0, 30, 900)
    """For how long a file may, where there are two runners to look for it."""
    elects: bool = True
    """Whether a runner stands back from creating where another one uploaded before it."""


@dataclass
class File:
    id: int
    place: int
    created: int
    visible: int
    is_there: bool = True


@dataclass
class Batch:
    id: int
    file: int
    created: int
    visible: int
    cancelled: int | None = None


@dataclass
class World:
    """The service and its time. Every request takes a second."""

    oracle: Oracle
    budget: Budget
    now: int = 0
    files: list = field(default_factory=list)
    batches: list = field(default_factory=list)
    late: list = field(default_factory=list)
    has_two: bool = False

    def spend(self, what, options):
        left = getattr(self.budget, what)
        answer = self.oracle.choose(options) if left else 0
        if answer:
            self.budget = replace(self.budget, **{what: left - 1})
        return answer

    def sleep(self, seconds):
        self.now += seconds
        if not self.late:
            return
        for due in [each for each in self.late if each[0] <= self.now]:
            self.late.remove(due)
            self.make(due[1], at=due[0])

    def make(self, file, at=None):
        if self.budget.fence_holds and not self.files[file].is_there:
            return None
        created = self.now if at is None else at
        lag = self.budget.lags[self.spend("faults", len(self.budget.lags))]
        self.batches.append(Batch(len(self.batches), file, created, created + lag))
        return self.batches[-1]

    def upload(self, place=0):
        self.sleep(1)
        lags = self.budget.file_lags if self.has_two else (0,)
        lag = lags[self.spend("faults", len(lags))] if len(lags) > 1 else 0
        self.files.append(File(len(self.files), place, self.now, self.now + lag))
        return self.files[-1].id

    def listed_files(self):
        self.sleep(1)
        shown = [f for f in self.files if f.visible <= self.now and f.is_there]
        return sorted(shown, key=lambda file: (file.created, file.id))

    def delete(self, file):
        self.sleep(1)
        self.files[file].is_there = False
        for batch in self.batches:
            is_validating = batch.cancelled is None and self.now - batch.created <= VALIDATING
            if self.budget.fence_holds and batch.file == file and is_validating:
                batch.cancelled = self.now

    def create(self, file):
        self.sleep(1)
        fate = self.spend("faults", 6 if self.budget.doubles else 5)
        if fate == 0:
            batch = self.make(file)
            if batch is None:
                raise Refused
            return batch
        if fate == 2:
            self.make(file)
        elif fate == 3:
            self.late.append((self.now + 90, file))
        elif fate == 4:
            self.late.append((self.now + 1_200, file))
        elif fate == 5:  # the request is delivered twice, and one answer comes
            batch = self.make(file)
            self.make(file)
            if batch is None:
                raise Refused
            return batch
        self.sleep(60)
        raise Ambiguous

    def listed(self):
        self.sleep(1)
        shown = [b for b in self.batches if b.visible <= self.now and b.cancelled is None]
        return sorted(shown, key=lambda batch: (batch.created, batch.id))

    def has_no_twin(self, own):
        others = (batch for batch in self.batches if batch.id != own)
        return not self.late and all(batch.cancelled is not None for batch in others)

    def cancel(self, batch):
        self.sleep(1)
        batch.cancelled = batch.cancelled or self.now

    def paid(self):
        return [
            b for b in self.batches if b.cancelled is None or b.cancelled - b.created > VALIDATING
        ]


@dataclass
class Journal:
    """What is on the disk; a kill takes nothing of it away."""

    stage: str = "waiting"
    file: int | None = None
    since: int = 0
    fenced: bool = False
    batch: int | None = None
    asks: bool = False
    place: int = 0
    """Where the file was uploaded."""
    elected: tuple | None = None
    """Which place may create, and the file by which it may."""


def runner(world, journal, policy, place=0) -> Iterator[None]:
    """One process; a kill may come wherever it yields."""
    if journal.stage == "creating":
        journal.stage, journal.since = "unknown", world.now
    if journal.stage == "uploaded" and journal.place != place:
        journal.stage = "waiting"  # the journal was copied, and the file is another's claim
    if journal.stage == "unknown" and journal.place != place:
        policy = "stop"  # whoever sent the request may be at work on it
    if journal.batch is None:
        yield from adopt(world, journal)  # an old journal may lack what the list shows
    while journal.batch is None and not journal.asks:
        if journal.stage == "waiting":
            file = world.upload(place)
            yield
            journal.stage, journal.file, journal.place = "uploaded", file, place
            journal.since = world.now
        elif journal.stage == "unknown":
            yield from resolve(world, journal, policy)
        elif is_elected(journal, place) or not (world.has_two and world.budget.elects):
            yield from create(world, journal)
        else:
            yield from elect(world, journal, place)
    if journal.batch is not None:
        yield from watch(world, journal)


def is_elected(journal, place):
    return journal.elected is not None and journal.elected[0] == place


def elect(world, journal, place):
    """Of all runners of the job the one creates whose file is the oldest in the list."""
    world.sleep(max(0, journal.since + CLAIM - world.now))
    yield
    while True:
        files = world.listed_files()
        own = [file.id for file in files if file.place == place]
        if own:
            break
        if world.now > journal.since + PATIENCE:
            journal.asks = True
            return
        world.sleep(LOOK_AGAIN)
    yield
    if files[0].place == place:
        journal.elected = place, own[0]
    else:
        journal.asks = True


def create(world, journal):
    yield from adopt(world, journal)
    if journal.batch is not None:
        return
    journal.stage = "creating"
    yield
    try:
        batch = world.create(journal.file)
        yield
        journal.stage, journal.batch = "live", batch.id
    except Ambiguous:
        yield
        journal.stage, journal.since, journal.fenced = "unknown", world.now, False
    except Refused:
        yield
        journal.stage = "waiting"


def resolve(world, journal, policy):
    """The outcome is not known: look, fence if allowed, look until it has settled."""
    begun = world.now
    while True:
        yield from adopt(world, journal)
        if journal.batch is not None:
            return
        waits = policy == "wait" and not journal.fenced and world.now < journal.since + WINDOW
        if policy != "stop" and not journal.fenced and not waits:
            yield
            world.delete(journal.file)
            yield
            journal.fenced, journal.since, begun = True, world.now, world.now
            if journal.elected is not None and journal.elected[1] == journal.file:
                journal.elected = None
        elif not waits and world.now >= max(begun, journal.since) + SETTLE:
            break
        world.sleep(LOOK_AGAIN if world.now < journal.since + 1_500 else 6_000)
    yield
    if policy == "stop":
        journal.asks = True
    else:
        journal.stage = "waiting"


def adopt(world, journal):
    found = world.listed()
    if found:
        yield
        journal.stage, journal.batch = "live", found[0].id
        yield from cancel(world, found[1:])


def watch(world, journal):
    """Look for twins: soon after the batch is there, and now and then while it runs."""
    pauses = (5, *(30,) * 60)
    for number, pause in enumerate(pauses):
        if world.has_no_twin(journal.batch):  # the model's own knowledge: it saves looking
            world.sleep(sum(pauses[number:]) + len(pauses) - number)
            return
        world.sleep(pause)
        own = world.batches[journal.batch]
        others = [batch for batch in world.listed() if batch is not own]
        if others and (others[0].created, others[0].id) < (own.created, own.id):
            yield
            journal.batch, others[0] = others[0].id, own
        yield from cancel(world, others)


def cancel(world, twins):
    for twin in twins:
        yield
        world.cancel(twin)


def naive(world, journal, policy, place=0):
    """What many tools do: write down the batch once there is one, and try again when in doubt."""
    while journal.batch is None:
        if journal.file is None:
            file = world.upload()
            yield
            journal.file = file
        try:
            batch = world.create(journal.file)
            yield
            journal.batch = batch.id
        except Ambiguous:
            world.sleep(2)
        except Refused:
            journal.asks = True
            return


@dataclass
class Outcome:
    histories: int = 0
    paid_twice: int = 0
    most_paid: int = 0
    asked: int = 0
    unpaid: int = 0
    example: list | None = None


def one_history(oracle, budget, policy, process):
    world = World(oracle, budget)
    journals = [Journal()]
    if budget.switches:
        world.has_two = True
        journals.append(copy.copy(journals[0]))
    running = {n: process(world, journal, policy, n) for n, journal in enumerate(journals)}
    turn, copies, has_begun = 0, [copy.copy(journals[0])], False
    while running:
        if turn not in running:
            turn = next(iter(running))
        if turn and not has_begun:
            has_begun = True
            journals[1] = copy.copy(copies[-1 - oracle.choose(len(copies))])
            running[1] = process(world, journals[1], policy, 1)
        try:
            next(running[turn])
        except StopIteration:
            del running[turn]
            continue
        if not has_begun and journals[0] != copies[-1]:
            copies.append(copy.copy(journals[0]))
        if world.spend("kills", 2):
            world.sleep(5)
            running[turn] = process(world, journals[turn], policy, turn)
        if len(running) > 1 and world.spend("switches", 2):
            turn = 1 - turn
    world.sleep(5_000)
    return world, journals


def explore(policy, budget=None, process=runner):
    """Every history within the budget; what became of the money in them."""
    outcome, script = Outcome(), []
    while True:
        oracle = Oracle(script)
        world, journals = one_history(oracle, budget or Budget(), policy, process)
        paid = len(world.paid())
        outcome.histories += 1
        outcome.most_paid = max(outcome.most_paid, paid)
        if paid > 1:
            outcome.paid_twice += 1
            outcome.example = outcome.example or [answer for answer, _ in oracle.trail]
        if any(journal.asks for journal in journals):
            outcome.asked += 1
        elif not paid:
            outcome.unpaid += 1
        trail = oracle.trail
        while trail and trail[-1][0] + 1 >= trail[-1][1]:
            trail.pop()
        if not trail:
            return outcome
        script = [answer for answer, _ in trail]
        script[-1] += 1


BOTH = Budget(faults=1, kills=1, switches=2)
TWO_FAULTS = replace(BOTH, faults=2)

PROTOCOLS = {
    "naive": ("retry", Budget(), naive),
    "stop": ("stop", Budget(), runner),
    "wait": ("wait", Budget(), runner),
    "fence": ("fence", Budget(), runner),
    "fence, list never late by 10 minutes": ("fence", Budget(lags=(0, 30)), runner),
    "fence, a deleted file is no obstacle": ("fence", Budget(fence_holds=False), runner),
    "stop, requests may arrive twice": ("stop", Budget(doubles=True), runner),
    "  and the list is late by 30 s at most": ("stop", Budget(doubles=True, lags=(0, 30)), runner),
    "stop, two runners": ("stop", BOTH, runner),
    "  two faults, no file listed after 40 s": (
        "stop",
        replace(TWO_FAULTS, file_lags=(0, 30)),
        runner,
    ),
    "  two faults, files listed late as well": ("stop", TWO_FAULTS, runner),
    "  one fault, and neither stands back": ("stop", replace(BOTH, elects=False), runner),
    "wait, two runners": ("wait", BOTH, runner),
    "fence, two runners": ("fence", BOTH, runner),
}

if __name__ == "__main__":
    print(f"{'protocol':40}{'histories':>10}{'paid twice':>12}{'most':>6}{'asked':>7}{'unpaid':>8}")
    for name, (policy, budget, process) in PROTOCOLS.items():
        seen = explore(policy, budget, process)
        print(
            f"{name:40}{seen.histories:10,}{seen.paid_twice:12,}{seen.most_paid:6}"
            f"{seen.asked:7,}{seen.unpaid:8,}"
        )
