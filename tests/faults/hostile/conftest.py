"""The command line, as the tests of its commands have it."""

from tests.cli.conftest import batchsim, desk

__all__ = ["batchsim", "desk"]
