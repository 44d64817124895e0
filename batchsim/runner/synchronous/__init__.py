"""Synchronous: the last lines of a job, sent one by one without a batch, at the ordinary price.

In: the shards that are left when a deadline nears, if the policy asks for it (`finish`). Out:
journal entries, and a file of result lines for each shard (`answer_file`), which is collected like
any other.
"""
