"""A program: kills a worker at each step that touches the disk, and checks what is left.

The worker uploads, runs batches and deletes on a DiskStore, and says after each call what came
back. It is killed (SIGKILL) before its n-th step, for every n until it gets to its end. After each
death a new owner must find all that was said, and must be able to go on to the same results.
"""

import io
import json
import os
import signal
import sys
from pathlib import Path

from batchsim.backends.fake import FakeBackend
from batchsim.clock import VirtualClock
from batchsim.stores.disk import DiskStore

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


def input_file(name):
    requests = (
        {"custom_id": f"{name} {n}", "method": "POST", "url": CHAT, "body": BODY} for n in range(9)
    )
    return "".join(json.dumps(each) + "\n" for each in requests).encode()


def kill_before_step(n):
    """Have this process killed when it is about to touch the disk for the n-th time."""
    steps = 0

    def counting(call):
        def counted(*arguments, **options):
            nonlocal steps
            steps += 1
            if steps == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return counted

    os.fsync = counting(os.fsync)
    Path.replace = counting(Path.replace)
    Path.unlink = counting(Path.unlink)
    DiskStore.save = counting(DiskStore.save)
    DiskStore.draft = counting(DiskStore.draft)
    DiskStore.drop_content = counting(DiskStore.drop_content)


def work(folder, say):
    backend = FakeBackend(store=DiskStore(folder))
    for name in ("first", "second"):
        file = backend.upload_file(io.BytesIO(input_file(name)), filename="a.jsonl")
        say("file", name, file.id)
        batch = backend.create_batch(input_file_id=file.id, endpoint=CHAT)
        say("batch", name, batch.id)
        backend.clock.sleep(90)
        say("counts", name, backend.retrieve_batch(batch.id).request_counts.completed)
        if name == "first":
            backend.delete_file(file.id)
            say("deleted", name, file.id)
            backend.clock.sleep(600)
            say("output", name, backend.retrieve_batch(batch.id).output_file_id)
    say("end", "", "")


def check(folder, said):
    """Everything that was said is there; the rest of the work can be done."""
    with DiskStore(folder) as store:
        backend = FakeBackend(store=store, clock=VirtualClock())  # a clock that starts anew
        batches = {said_id: name for kind, name, said_id in said if kind == "batch"}
        listed = {batch.id: batch for batch in backend.list_batches(limit=100).data}
        assert set(batches) <= set(listed), "a batch is gone"
        for kind, name, value in said:
            # The first file may be deleted already, with the worker killed before it could say so.
            if kind == "file" and name == "second":
                content = b"".join(backend.read_file(value))
                assert content == input_file(name), "a file is not what it was"
            if kind == "deleted":
                assert value not in {file.id for file in backend.list_files().data}
            if kind == "output":
                assert backend.retrieve_file(value).bytes == len(b"".join(backend.read_file(value)))
            if kind == "counts":
                batch_id = next(each for each, of in batches.items() if of == name)
                assert listed[batch_id].request_counts.completed >= value, "counts went back"
        backend.clock.sleep(3 * 86_400)
        outputs = {}
        for batch_id, name in batches.items():
            batch = backend.retrieve_batch(batch_id)
            assert batch.status == "completed", batch
            outputs[name] = b"".join(backend.read_file(batch.output_file_id))
        known = {file.id for file in backend.list_files().data}
        assert set(store.contents()) <= known, "a content without a file was left behind"
        return outputs


def run_killed(folder, n):
    """What a worker said until it was killed before step n."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        kill_before_step(n)
        work(folder, lambda *said: os.write(writer, json.dumps(said).encode() + b"\n"))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = [json.loads(line) for line in pipe]
    os.waitpid(child, 0)
    return said


def main(folder):
    expected = {}
    n = 0
    while True:
        n += 1
        said = run_killed(folder / str(n), n)
        for name, output in check(folder / str(n), said).items():
            assert expected.setdefault(name, output) == output, f"other results after step {n}"
        if said and said[-1][0] == "end":
            sys.stdout.write(str(n - 1))
            return


main(Path(sys.argv[1]))
