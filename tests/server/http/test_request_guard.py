"""Who is let in before a request is even routed."""

import pytest

from batchsim.errors import Refused
from batchsim.server.http.request_guard import Guard, Head
from batchsim.server.http.server_limits import ServerLimits

LOCAL = ("host", "127.0.0.1:8000")


def status_of(
    *headers, method="GET", target="/v1/files", http_version="1.1", client="127.0.0.1", **options
):
    head = Head(method, target, http_version, tuple(headers), client)
    try:
        Guard(ServerLimits(), **options).check(head)
    except Refused as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("127.0.0.1:9999", 200),
        ("localhost:8000", 200),
        ("LOCALHOST:8000", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("evil.example", 421),
        ("evil.example:8000", 421),
        ("localhost.evil", 421),
        ("localhost.", 421),
        ("127.0.0.1.nip.io", 421),
        ("127.0.0.1.nip.io:8000", 421),
        ("user@localhost", 421),
        ("localhost@evil.example", 421),
        ("localhost:8000:8000", 421),
        ("localhost:", 421),
        ("localhost:8000/x", 421),
        ("192.168.1.5:8000", 421),
        ("::1", 421),
        ("", 421),
        ("localhost, evil.example", 421),
    ],
)
def test_case_094_only_loopback_names_are_answered_to(host, status):
    assert status_of(("host", host)) == status


def test_case_094_two_hosts_are_refused():
    assert status_of(LOCAL, LOCAL) == 400


@pytest.mark.parametrize(("http_version", "status"), [("1.1", 400), ("1.0", 200)])
def test_case_094_only_http_1_0_may_name_no_host(http_version, status):
    assert status_of(http_version=http_version) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("batchsim:8000", 200),
        ("BatchSim", 200),
        ("192.168.1.5:8000", 200),
        ("[fe80::1]:80", 200),
        ("evil.example", 421),
    ],
)
def test_a_server_for_others_answers_to_addresses_and_to_names_allowed(host, status):
    assert status_of(("host", host), allowed_hosts=["batchsim"], any_address=True) == status


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:9999", "http://127.0.0.1", ""]
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_case_095_changes_from_other_origins_are_refused(method, origin):
    assert status_of(LOCAL, ("origin", origin), method=method) == 403


def test_case_095_a_change_from_the_servers_own_origin_is_let_in():
    own = ("origin", "http://127.0.0.1:8000")
    assert status_of(LOCAL, own, ("sec-fetch-site", "same-origin"), method="POST") == 200


def test_case_095_one_foreign_origin_among_two_is_enough():
    own, other = ("origin", "http://127.0.0.1:8000"), ("origin", "https://evil.example")
    assert status_of(LOCAL, own, other, method="POST") == 403


@pytest.mark.parametrize(
    ("method", "site", "status"),
    [
        ("GET", "cross-site", 403),
        ("GET", "Cross-Site", 403),
        ("POST", "cross-site", 403),
        ("POST", "same-site", 403),
        ("GET", "same-site", 200),
        ("GET", "none", 200),
        ("POST", "same-origin", 200),
    ],
)
def test_what_a_browser_calls_cross_site_is_refused(method, site, status):
    assert status_of(LOCAL, ("sec-fetch-site", site), method=method) == status


def test_case_104_an_upgrade_from_another_origin_is_refused():
    foreign = ("origin", "https://evil.example")
    assert status_of(LOCAL, foreign) == 200
    assert status_of(LOCAL, foreign, ("upgrade", "websocket")) == 403


@pytest.mark.parametrize("asked", [(), (("access-control-request-private-network", "true"),)])
def test_case_096_a_preflight_is_refused(asked):
    assert status_of(LOCAL, ("origin", "https://evil.example"), *asked, method="OPTIONS") == 403


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "BREW"])
def test_case_097_unknown_methods_are_refused(method):
    assert status_of(LOCAL, method=method) == 405


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("multipart/form-data; boundary=B", 200),
        ("text/plain", 415),
        ("text/plain;application/json", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
def test_bodies_that_any_page_may_send_are_refused(kind, status):
    assert status_of(LOCAL, ("content-type", kind), method="POST") == status


@pytest.mark.parametrize(
    ("encoding", "status"), [("identity", 200), ("gzip", 415), ("br, gzip", 415), ("zstd", 415)]
)
def test_case_067_encoded_bodies_are_refused(encoding, status):
    assert status_of(LOCAL, ("content-encoding", encoding), method="POST") == status


@pytest.mark.parametrize(
    ("length", "status"), [("513000000", 200), ("513000001", 413), ("9" * 5_000, 413)]
)
def test_case_065_a_body_that_says_it_is_too_large_is_refused_unread(length, status):
    assert status_of(LOCAL, ("content-length", length), method="POST") == status


@pytest.mark.parametrize(("size", "status"), [(8_192, 200), (8_193, 414)])
def test_case_099_the_longest_url(size, status):
    assert status_of(LOCAL, target="/v1/files?".ljust(size, "x")) == status


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 431)])
def test_case_098_the_largest_head(size, status):
    rest = size - len("host") - len(LOCAL[1]) - 4 - len("x") - 4
    assert status_of(LOCAL, ("x", "y" * rest)) == status


@pytest.mark.parametrize(("count", "status"), [(256, 200), (257, 431)])
def test_case_098_the_most_headers(count, status):
    assert status_of(LOCAL, *[("x", "y")] * (count - 1)) == status


@pytest.mark.parametrize(
    ("client", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("192.168.1.5", 403), ("fe80::1%eth0", 403)],
)
def test_the_levers_are_for_this_machine_only(client, status):
    assert status_of(LOCAL, target="/_batchsim/clock", client=client) == status
