"""`make parity`: the contract on the simulator and on the real API, side by side.

It costs money, if little, and takes an hour, so it runs only when asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from metered import Cap, MeteredBackend
from side_by_side import Rehearsal, compare, rehearse

from batchsim.backends import Backend
from batchsim.backends.fake import FakeBackend
from batchsim.domain.batches import Usage
from batchsim.errors import BatchsimError
from batchsim.pricing.prices import cost
from batchsim.testing.contract import BackendContract

CAP = Cap(batches=60, lines=400, seconds=2 * 3_600.0)
TOKENS_OF_A_LINE = Usage(input_tokens=32, output_tokens=16)
"""More than any line of the contract has: a few words asked for, at most 16 tokens answered."""

MOST_KEPT = 50
"""Files or batches. The checks look through all of them, so the project must be nearly empty."""

ASK = """\
make parity compares the simulator with the real API. It uploads files and runs small batches there,
for a few cents, so it runs only when asked for, best with the key of a project of its own:

    OPENAI_API_KEY=sk-... BATCHSIM_PARITY=1 make parity

{lacking}: nothing was run"""


class Contract(BackendContract):
    """The contract for the model that the environment names, the cheapest one unless it does."""

    model = os.environ.get("BATCHSIM_PARITY_MODEL", BackendContract.model)


def main(environment: Mapping[str, str]) -> int:
    """Exit code: 0 when nothing differs or nothing was asked for, 1 when something differs."""
    if not environment.get("OPENAI_API_KEY"):
        print(ASK.format(lacking="There is no OPENAI_API_KEY"))
        return 0
    if environment.get("BATCHSIM_PARITY") != "1":
        print(ASK.format(lacking="BATCHSIM_PARITY is not 1"))
        return 0
    from batchsim.backends.openai import OpenAIBackend

    try:
        return run(Contract(), OpenAIBackend())
    except BatchsimError as error:
        print(f"error: {error}", *([f"hint: {error.hint}"] if error.hint else []), sep="\n")
        return 2


def run(contract: BackendContract, real: Backend) -> int:
    """Rehearse, tell the price, compare, clean up."""
    if len(real.list_files(limit=MOST_KEPT).data) == MOST_KEPT or (
        len(real.list_batches(limit=MOST_KEPT).data) == MOST_KEPT
    ):
        print(f"error: the project holds {MOST_KEPT} files or batches or more")
        print("hint: make a project for parity alone, and use a key of it")
        return 2
    rehearsals = rehearse(contract, lambda: FakeBackend(seed=1))
    if not tell_estimate(contract.model, [each for each in rehearsals if not each.needs_jumps]):
        return 2
    metered = MeteredBackend(real, CAP)
    try:
        different = compare(rehearsals, metered, print)
    finally:
        metered.clean_up()
    spent = metered.spent
    print(
        f"\n{len(different)} checks differ; {spent.batches} batches with {spent.lines} lines, "
        f"{spent.seconds / 60:.0f} minutes of waiting"
    )
    return 1 if different else 0


def tell_estimate(model: str, rehearsals: list[Rehearsal]) -> bool:
    """Say what is ahead; whether the cap allows it."""
    batches = sum(each.spent.batches for each in rehearsals)
    lines = sum(each.spent.lines for each in rehearsals)
    minutes = sum(each.spent.seconds for each in rehearsals) / 60
    usage = Usage(
        input_tokens=TOKENS_OF_A_LINE.input_tokens * lines,
        output_tokens=TOKENS_OF_A_LINE.output_tokens * lines,
    )
    price = cost(model, usage, batch=True)
    money = "at an unknown price" if price is None else f"for at most ${price:.4f}"
    print(
        f"{len(rehearsals)} checks on the real API with {model}: {batches} batches, {lines} lines, "
        f"{money}, about {minutes:.0f} minutes\n"
    )
    if batches > CAP.batches or lines > CAP.lines:
        print(f"error: this is more than {CAP.batches} batches or {CAP.lines} lines")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(os.environ))
