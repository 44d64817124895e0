"""FACE batchsim/runner/adoption."""
