"""Tools for test suites: run code that uses the Batch API against a simulated service.

`batchsim.intercept` sends every OpenAI client of the process to a Backend. The pytest plugin gives
each test a fresh account, whose clock makes sleeping free. `batchsim.check_pipeline` searches for a
behaviour of the service under which a pipeline goes wrong. `transport` makes single clients,
`strategies` and `state_machine` are for Hypothesis, and `contract` tests a Backend of your own.
Nothing is re-exported here: pytest imports this package at every start.
"""
