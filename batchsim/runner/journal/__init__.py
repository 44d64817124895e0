"""FACE batchsim/runner/journal."""
