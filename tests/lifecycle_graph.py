"""The table of transitions as a graph: what can follow a status, and its picture."""

from batchsim.domain.lifecycle import INITIAL, TRANSITIONS, Status


def reachable(status: Status) -> frozenset[Status]:
    """`status` and every status that can still follow it."""
    seen = {status}
    todo = [status]
    while todo:
        for target in TRANSITIONS[todo.pop()].values():
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return frozenset(seen)


def diagram() -> str:
    """The table as a Mermaid state diagram; the guide shows it."""
    lines = ["stateDiagram-v2", f"    [*] --> {INITIAL}"]
    for status, row in TRANSITIONS.items():
        lines += [f"    {status} --> {target}: {event}" for event, target in row.items()]
        if not row:
            lines.append(f"    {status} --> [*]")
    return "\n".join(lines)
