"""Adoption: batches that exist at a service, made the batches of a job.

In: batches of another tool (`adopt`, whose lines `takeover` reads), or the batches of a job whose
directory is lost (`recover`). Out: a new journal with these batches, which `runner.run` continues.
Nothing is sent before the journal is whole.
"""
