"""The routes of the API, one module for each group: files, batches, uploads, models, synchronous.

In comes a `Call`: a request that has found its route, with its backend. Out goes a Response.
`route` has the table, `openapi` describes the routes, `upload_state` keeps uploads in parts.
"""
