"""A port for any handler: `running(handler)` yields the address of an HTTP server.

In come connections; out go a `Handler`'s answers to their requests, within `ServerLimits`. Parts:
`serve` (start and stop), `http` (connections, threads, the guard), `fakes_by_key` and `control_api`
(a simulator for each key, and its controls), `recording_proxy` (a real service, recorded),
`webhook_sender` and `webhook_receiver`.
Nothing is re-exported: each part is imported late, since only some commands need it.
"""
