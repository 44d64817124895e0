"""The former name of batchsim.testing.run_example, kept for one version."""

from batchsim.testing.run_example import KINDS

__all__ = ["KINDS"]
