"""HTTP itself, over a socket: what is no proper request is refused, and nothing
crashes or hangs.
"""

import pytest

GET = b"GET /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-a\r\n"
POST = GET.replace(b"GET", b"POST", 1)
CLOSE = b"Connection: close\r\n\r\n"


def status(answer):
    return int(answer.split(b" ", 2)[1])


def test_a_proper_request_is_answered(client):
    answer = client.talk(GET + CLOSE)
    assert status(answer) == 200
    assert b"content-type: application/json\r\n" in answer


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /v1/files\r\n\r\n", id="HTTP/0.9"),
        pytest.param(GET.replace(b"HTTP/1.1", b"HTTP/3.7") + CLOSE, id="a version that is none"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), id="TLS"),
        pytest.param(GET + b"X-Long: a\r\n b\r\n" + CLOSE, id="a folded header"),
        pytest.param(GET + b"X-Nul: a\0b\r\n" + CLOSE, id="NUL in a value"),
        pytest.param(GET + b"X-Cr: a\rb\r\n" + CLOSE, id="CR in a value"),
        pytest.param(GET + b"X Space: a\r\n" + CLOSE, id="a space in a name"),
        pytest.param(GET + b"X-Space : a\r\n" + CLOSE, id="a space after a name"),
        pytest.param(GET + b": a\r\n" + CLOSE, id="a header without a name"),
        pytest.param(
            GET.replace(b"/v1/files", b"http://evil.example/v1/files") + CLOSE,
            id="a proxy's target",
        ),
        pytest.param(GET.replace(b"/v1/files", b"v1/files") + CLOSE, id="a target without slash"),
        pytest.param(
            GET.replace(b"/v1/files", b"/v1/f\xc3\xa4") + CLOSE, id="a target not in ASCII"
        ),
        pytest.param(GET.replace(b"Host: localhost\r\n", b"") + CLOSE, id="no host"),
        pytest.param(GET + b"Host: localhost\r\n" + CLOSE, id="two hosts"),
        pytest.param(
            POST + b"Content-Length: 4x\r\n" + CLOSE + b"{}", id="a length that is no number"
        ),
        pytest.param(POST + b"Content-Length: -1\r\n" + CLOSE, id="a negative length"),
        pytest.param(POST + b"Content-Length: +2\r\n" + CLOSE + b"{}", id="a length with a sign"),
        pytest.param(
            POST + b"Content-Length: 99999999999999999999999\r\n" + CLOSE,
            id="a length beyond 64 bits",
        ),
        pytest.param(
            POST + b"Content-Length: 2\r\nContent-Length: 3\r\n" + CLOSE + b"{}", id="two lengths"
        ),
        pytest.param(
            POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"0\r\n\r\n",
            id="a length and chunks",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: gzip\r\n" + CLOSE, id="an unknown transfer coding"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked, gzip\r\n" + CLOSE + b"0\r\n\r\n",
            id="chunked is not the last",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: xchunked\r\n" + CLOSE + b"0\r\n\r\n", id="almost chunked"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"zz\r\n\r\n",
            id="a chunk of no size",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"-2\r\n{}\r\n0\r\n\r\n",
            id="a chunk of a negative size",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"f" * 17 + b"\r\n{}",
            id="a chunk of more than 64 bits",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"2\r\n{}0\r\n\r\n",
            id="a chunk without its end",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"2\r\n{}\n0\r\n\r\n",
            id="a chunk that ends with a bare LF",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"2;" + b"x" * 200_000,
            id="a chunk size line without end",
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
            id="a trailer",
        ),
        pytest.param(
            POST
            + b"Trailer: Host\r\nTransfer-Encoding: chunked\r\n"
            + CLOSE
            + b"2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n",
            id="an announced trailer",
        ),
    ],
)
def test_cases_063_064_094_and_097_to_100_what_is_no_proper_request_is_refused_once(client, sent):
    answer = client.talk(sent)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "asked",
    [
        b"TRACE /v1/files",
        b"CONNECT localhost:80",
        b"PROPFIND /v1/files",
        b"BREW /v1/files",
        b"get /v1/files",
        b"Post /v1/files",
        b"M-SEARCH *",
        b"x!y /v1/files",
    ],
)
def test_case_097_methods_that_the_server_does_not_know(client, asked):
    answer = client.talk(asked + b" HTTP/1.1\r\nHost: localhost\r\n" + CLOSE)
    assert status(answer) in (405, 501)
    assert b"\r\nallow: " in answer.lower()
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1 ") == 1


def test_case_064_a_file_whose_content_ends_in_trailers_is_not_stored(client, chat_line):
    form = (
        b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        + chat_line()
        + b"\r\n--B--\r\n"
    )
    key = client.headers["Authorization"].encode()
    head = (
        b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: %s\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\nTransfer-Encoding: chunked\r\n\r\n" % key
    )
    chunk = b"%x\r\n%s\r\n" % (len(form), form)
    refused = client.talk(head + chunk + b"0\r\nX-Digest: 1\r\n\r\n")
    assert status(refused) == 400
    assert client.send("GET", "/v1/files").json["data"] == []
    assert status(client.talk(head + chunk + b"0\r\n\r\n")) == 200


def test_a_body_in_many_small_chunks_is_taken(client):
    chunks = b"1\r\n{\r\n" + b"1;x=y\r\n \r\n" * 20_000 + b"1\r\n}\r\n0\r\n\r\n"
    key = client.headers["Authorization"].encode()
    head = b"POST /v1/batches HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n" % key
    answer = client.talk(
        head + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n" + CLOSE + chunks
    )
    assert b"input_file_id" in answer


def test_case_063_what_follows_a_refused_request_is_not_taken_for_another(client):
    smuggled = (
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET + CLOSE
    )
    answer = client.talk(smuggled)
    assert (status(answer), answer.count(b"HTTP/1.1 ")) == (400, 1)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"TRACE /v1/files HTTP/1.1\r\nHost: localhost\r\n", 405),
        (b"PROPFIND /v1/files HTTP/1.1\r\nHost: localhost\r\n", 405),
        (b"OPTIONS /v1/files HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n", 403),
        (b"GET /v1/files HTTP/1.1\r\nHost: evil.example\r\n", 421),
        (GET.replace(b"/v1/files", b"/" + b"x" * 8_192), 414),
        (GET + b"X: " + b"y" * 65_536 + b"\r\n", 431),
        (GET + b"x: y\r\n" * 10_000, 431),
        (GET + b"Upgrade: websocket\r\nOrigin: http://evil.example\r\n", 403),
        (GET + b"X-HTTP-Method-Override: DELETE\r\nX-Forwarded-Host: evil.example\r\n", 200),
        (GET + b"If-None-Match: junk\r\nIf-Modified-Since: junk\r\nRange: junk\r\n", 200),
        (GET.replace(b"/v1/files", b"/v1/files/%zz"), 404),
        (GET.replace(b"/v1/files", b"/v1%2ffiles"), 404),
        (GET.replace(b"/v1/files", b"/v1/files/..%2f..%2fetc%2fpasswd"), 404),
        (GET.replace(b"/v1/files", b"//v1/files"), 404),
        (GET.replace(b"/v1/files", b"/v1%c0%affiles"), 404),
        (GET.replace(b"/v1/files", b"/v1%252ffiles"), 404),
        (GET.replace(b"/v1/files", b"/v1/files?" + b"a=b&" * 2_000), 400),
        (GET.replace(b"/v1/files", b"/v1/files?a=1;b=2&%zz=%"), 200),
    ],
)
def test_cases_094_to_099_and_103_to_105_what_the_guard_and_the_router_say(client, sent, expected):
    answer = client.talk(sent + CLOSE)
    assert status(answer) == expected
    assert b"access-control-" not in answer.lower()


def test_case_099_a_url_of_100_kb_is_refused_without_waiting_for_its_end(client):
    answer = client.talk(b"GET /" + b"x" * 400_000)
    assert status(answer) in (414, 431)


def test_case_098_headers_without_end_are_refused(client):
    answer = client.talk(GET + b"x: y\r\n" * 100_000)
    assert status(answer) == 431


def test_case_100_http_1_0_without_a_host_is_answered_and_closed(client):
    answer = client.talk(b"GET /v1/files HTTP/1.0\r\nAuthorization: Bearer sk-a\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == 200
    assert b"content-length: %d" % len(body) in head
    assert b"chunked" not in head


def test_case_100_http_1_0_downloads_are_not_chunked(client, chat_line):
    file = client.upload(chat_line()).json["id"]
    key = client.headers["Authorization"].encode()
    ask = b"GET /v1/files/%s/content HTTP/1.0\r\nAuthorization: %s\r\n\r\n" % (file.encode(), key)
    head, _, body = client.talk(ask).partition(b"\r\n\r\n")
    assert body == chat_line()
    assert b"content-length: %d" % len(body) in head


def test_case_100_a_hundred_requests_at_once_on_one_connection_are_answered_in_order(client):
    asked = [GET.replace(b"/v1/files", b"/v1/files/file-%d" % n) + b"\r\n" for n in range(100)]
    answer = client.talk(b"".join(asked) + GET + CLOSE)
    assert answer.count(b"HTTP/1.1 404") == 100
    places = [answer.index(b'file-%d"' % n) for n in range(100)]
    assert places == sorted(places)


def test_case_100_an_upgrade_to_http_2_is_not_taken(client):
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    with client.socket() as raw:
        raw.sendall(GET + upgrade)
        assert raw.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "path", ["/v1/files", "/v1/batches", "/v1/files/{file}", "/v1/files/{file}/content"]
)
def test_case_105_head_is_get_without_the_body(client, chat_line, path):
    target = path.format(file=client.upload(chat_line()).json["id"])
    ignored = ("x-request-id", "openai-processing-ms", "date")
    head, get = (client.send(method, target) for method in ("HEAD", "GET"))
    assert (head.status, head.content) == (200, b"")
    assert {name: value for name, value in head.headers.items() if name not in ignored} == {
        name: value for name, value in get.headers.items() if name not in ignored
    }


def test_a_connection_serves_one_request_after_another(client):
    with client.connection() as connection:
        for _ in range(3):
            connection.request("GET", "/v1/files", headers=client.headers)
            assert connection.getresponse().read().startswith(b"{")


@pytest.mark.parametrize(
    "headers",
    [
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: deflate,chunked\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
    ],
)
def test_a_body_in_another_coding_is_not_taken_for_a_plain_one(client, headers):
    answer = client.talk(POST + headers + CLOSE + b"2\r\n{}\r\n0\r\n\r\n")
    assert status(answer) == 501
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_chunked_body_is_taken(client):
    body = iter(
        [b'{"input_file_id": "file-x", "endpoint": "/v1/', b'nothing", "completion_window": "24h"}']
    )
    answer = client.send("POST", "/v1/batches", body, content_type="application/json")
    assert answer.status == 400
    assert "/v1/nothing" in answer.json["error"]["message"]


def test_a_json_body_beyond_the_limit_is_refused_and_the_client_hears_it(client):
    answer = client.send("POST", "/v1/batches", b" " * (20 << 20), content_type="application/json")
    assert answer.status == 413


def test_case_065_a_client_that_waits_to_be_told_to_send_is_refused_at_once(client):
    head = b"Expect: 100-continue\r\nContent-Length: 600000000\r\n\r\n"
    answer = client.talk(POST + head)
    assert status(answer) == 413
    assert b"100 Continue" not in answer


def test_case_065_a_client_that_waits_to_be_told_to_send_is_told(client):
    with client.socket() as raw:
        raw.sendall(
            POST.replace(b"files", b"batches")
            + b"Expect: 100-continue\r\nContent-Length: 2\r\n"
            + CLOSE
        )
        assert raw.recv(65_536).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        raw.sendall(b"{}")
        assert raw.recv(65_536).startswith(b"HTTP/1.1 400")


def test_file_routes_do_not_open_up_to_other_origins(client, chat_line):
    file = client.upload(chat_line())
    assert not [name for name in file.headers if name.lower().startswith("access-control-")]


def test_case_102_a_download_is_an_attachment_that_no_browser_renders(client):
    file = client.upload(b'{"custom_id": "<script>"}\n', filename="x\u2028.jsonl").json["id"]
    headers = client.send("GET", f"/v1/files/{file}/content").headers
    assert headers["content-disposition"].startswith("attachment; ")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"


def test_keys_do_not_meet(shared_address, client_of, chat_line):
    one, other = client_of(shared_address, "sk-one"), client_of(shared_address, "sk-other")
    file = one.upload(chat_line()).json["id"]
    assert other.send("GET", f"/v1/files/{file}").status == 404
    assert one.send("GET", f"/v1/files/{file}").status == 200


def test_a_whole_batch_runs_over_the_port(client, chat_line):
    batch = client.run([chat_line("a"), chat_line("b")])
    assert batch["status"] == "completed"
    output = client.send("GET", f"/v1/files/{batch['output_file_id']}/content").content
    assert output.count(b"\n") == 2
