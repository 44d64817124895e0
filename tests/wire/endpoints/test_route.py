"""Finding a route: by table, as if each were tried in turn."""

from urllib.parse import unquote

import pytest

from batchsim.wire.app import ROUTES
from batchsim.wire.endpoints.route import Table

PATHS = [
    *(route.path for route in ROUTES),
    *(route.path.replace("{id}", "a%2Fb%20c") for route in ROUTES),
    *(route.path.replace("{id}", "") for route in ROUTES),
    *(route.path.replace("{id}", "a/b") for route in ROUTES),
    *(route.path + "/" for route in ROUTES),
    *(route.path.replace("{id}", "content") + "x" for route in ROUTES),
    *("", "/", "/v1", "//v1/files", "/v1/files//content", "/v1/batches/cancel", "/v2/files/a"),
]


def by_trying(path):
    found = []
    for route in ROUTES:
        head, has_identifier, tail = route.path.partition("{id}")
        segment = path[len(head) : len(path) - len(tail)] if has_identifier else ""
        if (
            path == head + segment + tail
            and "/" not in segment
            and bool(segment) == bool(has_identifier)
        ):
            found.append((route, unquote(segment)))
    return found


@pytest.mark.parametrize("path", PATHS)
def test_a_table_finds_what_trying_each_route_finds(path):
    routes, identifier = Table(ROUTES).find(path)
    assert [(route, identifier) for route in routes] == by_trying(path)
