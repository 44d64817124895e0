"""FACE batchsim/wire/endpoints."""
