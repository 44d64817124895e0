"""FACE batchsim/wire/http."""
