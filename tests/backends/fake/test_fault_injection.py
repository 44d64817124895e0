"""The faults of a running simulator can be changed: what came before stays as it was."""

from batchsim.backends.fake import Faults


def test_faults_hold_from_the_call_on(user, chats):
    someone = user(pacing="instant")
    before = someone.start(chats(1))
    someone.backend.set_faults(Faults(incident=1.0))
    after = someone.start(chats(1))
    assert someone.look(before).status == "completed"
    assert someone.look(after).status == "failed"


def test_faults_can_be_taken_away_again(user, chats):
    someone = user(pacing="instant", faults=Faults(incident=1.0))
    someone.backend.set_faults(Faults())
    assert someone.finish(chats(1)).status == "completed"


def test_a_faults_delay_ends_with_the_fault(user, chats):
    someone = user(faults=Faults(file_unknown_for=60.0))
    file = someone.upload(chats(1))
    someone.backend.set_faults(Faults())
    assert (
        someone.backend.create_batch(
            input_file_id=file.id, endpoint="/v1/chat/completions"
        ).input_file_id
        == file.id
    )
