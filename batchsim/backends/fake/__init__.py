"""FakeBackend: the Batch API simulated in the process."""
