"""Planning: an input in, shards out, each of them the content of one batch.

In: the lines of an input, and the limits of a service. Out: a Plan of all shards (`plan`), which
cuts the lines by model and size (`sharding`); later the shards of a retry round (`retry_round`),
and the parts of a shard with too many tokens (`token_bounds`). `shard_content` is what is
uploaded.
"""
