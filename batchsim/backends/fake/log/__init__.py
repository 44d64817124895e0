"""FACE batchsim/backends/fake/log."""
