"""Every key sees its own files and batches, and no others."""

import threading

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.backends.fake.ids import derived_seed
from batchsim.errors import Unavailable
from batchsim.wire import App, Tenants
from batchsim.wire.access import key_digest


@pytest.fixture
def tenants():
    return Tenants(lambda digest: FakeBackend(seed=derived_seed(1, digest)))


@pytest.fixture
def door(tenants, door_to):
    return door_to(App(tenants))


def listed(door, target, key):
    answer = door.send("GET", target, authorization=f"Bearer {key}")
    return [each["id"] for each in answer.json["data"]]


def test_two_keys_do_not_meet(door, forms, input_content):
    mine = door.upload_input(input_content).json["id"]
    for method, target in (
        ("GET", f"/v1/files/{mine}"),
        ("GET", f"/v1/files/{mine}/content"),
        ("DELETE", f"/v1/files/{mine}"),
    ):
        answer = door.send(method, target, authorization="Bearer sk-other")
        assert (answer.status, answer.error["message"]) == (404, f"No such File object: {mine}")
    assert listed(door, "/v1/files", "sk-any") == [mine]
    assert listed(door, "/v1/files", "sk-other") == []


def test_a_batch_is_seen_by_its_own_key_only(door, batch_of):
    mine = batch_of()
    answer = door.send("GET", f"/v1/batches/{mine}", authorization="Bearer sk-other")
    assert answer.status == 404
    assert listed(door, "/v1/batches", "sk-any") == [mine]
    assert listed(door, "/v1/batches", "sk-other") == []


def test_a_key_is_the_same_by_either_scheme_and_any_spacing(door, input_content):
    mine = door.upload_input(input_content).json["id"]
    for authorization in ("bearer sk-any", "BEARER   sk-any ", "Basic sk-any"):
        answer = door.send("GET", f"/v1/files/{mine}", authorization=authorization)
        assert answer.status == 200


def test_keys_do_not_share_ids(tenants):
    first, second = tenants.backend("one"), tenants.backend("two")
    assert first is not second
    assert derived_seed(1, key_digest("one")) != derived_seed(1, key_digest("two"))
    assert derived_seed(1, "a") == derived_seed(1, "a") != derived_seed(2, "a")


def test_a_backend_is_made_once_however_many_ask():
    made = []

    def make(digest):
        made.append(digest)
        return FakeBackend()

    tenants = Tenants(make)
    barrier = threading.Barrier(8)
    found = []

    def ask():
        barrier.wait()
        found.append(tenants.backend("sk-one"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [key_digest("sk-one")]
    assert len(set(map(id, found))) == 1


def test_a_backend_that_could_not_be_made_is_tried_again(door_to):
    tries = []

    def make(digest):
        tries.append(digest)
        if len(tries) == 1:
            raise Unavailable("the disk is full")
        return FakeBackend()

    door = door_to(App(Tenants(make)))
    assert [door.send("GET", "/v1/files").status for _ in range(2)] == [503, 200]


def test_only_the_digest_of_a_key_is_kept(tenants):
    tenants.backend("sk-secret")
    (digest,) = tenants.backends()
    assert len(digest) == 32
    assert int(digest, 16)
    assert tenants.open(digest) is tenants.backend("sk-secret")


@pytest.mark.parametrize("key", ["é", "\udce9", "x" * 100_000])
def test_any_key_has_a_digest(key):
    assert len(key_digest(key)) == 32


def test_after_a_reset_every_key_begins_anew(tenants, door, input_content):
    door.upload_input(input_content)
    before = tenants.backend("sk-any")
    assert list(tenants.reset().values()) == [before]
    assert listed(door, "/v1/files", "sk-any") == []
    assert tenants.backend("sk-any") is not before
