"""FACE batchsim/runner/schedule."""
