"""FACE batchsim/cli/commands."""
