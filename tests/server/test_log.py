"""What the server writes on stderr gives nobody's keys away."""

import logging

import pytest

from batchsim.server.log import log_on_stderr

logger = logging.getLogger("batchsim.server")

SECRETS = [
    "sk-proj-abcdefghijklmnop",
    "Bearer abcdef123456",
    "bearer abcdef123456",
    "Basic dXNlcjpwYXNz",
    "whsec_c2VjcmV0",
    "https://user:password@example.com/hook",
    "a key of the user's own",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_keys_are_struck_out_of_messages_and_tracebacks(capsys, secret):
    with log_on_stderr(["a key of the user's own", ""]):
        try:
            raise RuntimeError(f"failed with {secret}, sorry")
        except RuntimeError:
            logger.exception("it had %s.", secret)
    written = capsys.readouterr().err
    canary = secret.split("//")[-1].split("@")[0].split()[-1]
    assert canary not in written
    assert written.count("[redacted]") >= 2
    assert "Traceback" in written


def test_control_characters_are_escaped(capsys):
    with log_on_stderr():
        logger.error("a\x1b[31mb\x00c\rd")
    assert capsys.readouterr().err == "ERROR: a\\x1b[31mb\\x00c\\x0dd\n"


def test_warnings_are_left_out_and_nothing_is_written_afterwards(capsys):
    with log_on_stderr():
        logger.warning("no HTTP")
    assert capsys.readouterr().err == ""
    assert logger.handlers == []
