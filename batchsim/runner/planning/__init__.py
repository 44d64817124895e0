"""FACE batchsim/runner/planning."""
