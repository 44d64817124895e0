"""FACE batchsim/cli/running."""
