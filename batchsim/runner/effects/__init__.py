"""FACE batchsim/runner/effects."""
