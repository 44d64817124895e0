"""Results: result files of a service in, one result per line of the input out, in input order.

In: the downloaded output and error files of shards, and the custom_ids of their lines. Out: an
index for each shard (`collect`), which holds where the result of each line lies; then the results
file and the ledger (`assemble`), for which `merge_rounds` chooses among the results of several
rounds.
"""
