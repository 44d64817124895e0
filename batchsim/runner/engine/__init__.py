"""FACE batchsim/runner/engine."""
