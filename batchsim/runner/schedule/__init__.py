"""The schedule: decide what a job does next.

The state, the session, the policy and the time go in; `decide` returns actions, which are values.
An Agenda keeps the next steps of all shards, so that deciding costs only what has changed. All of
this is pure: nothing is sent, read or written.
"""
