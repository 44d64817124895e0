"""FACE batchsim/runner/results."""
