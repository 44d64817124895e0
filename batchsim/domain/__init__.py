"""The values and rules of the Batch API, without I/O, clocks or random numbers.

Batches, files, lines and answers are frozen values. `lifecycle` holds the transitions of a batch,
`limits` the limits, `refusals` the API's own refusals, and `validation` the rules for input files.
Everything else in batchsim builds on this package.
"""
