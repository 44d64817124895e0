"""FACE batchsim/backends/fake/service."""
