"""FACE batchsim/runner/progress."""
