"""A job to work on, and the service that it runs on."""

from tests.job_fixtures import backend, builders

__all__ = ["backend", "builders"]
