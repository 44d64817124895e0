"""Doors for test suites: transports for the official client, and the contract of a Backend."""
