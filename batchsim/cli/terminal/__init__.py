"""FACE batchsim/cli/terminal."""
