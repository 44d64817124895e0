"""Inside `intercept` nothing leaves the machine, by whatever road."""

import asyncio
import importlib
import socket
import ssl
import threading
import urllib.request
from contextlib import closing, suppress
from functools import partial

import pytest

from batchsim import FakeBackend, intercept
from batchsim.errors import BatchsimError, NetworkForbidden, UsageError
from batchsim.testing.network_guard import Allowed, is_loopback

OUTSIDE = "192.0.2.1"
"""An address that stands in documents and belongs to nobody."""

OUTSIDE_6 = "2001:db8::1"


@pytest.fixture
def inside():
    with intercept(FakeBackend()):
        yield


@pytest.fixture
def server():
    """The address of a server on this machine that greets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def greet():
            with suppress(OSError):  # a client may leave early
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"hello")

        thread = threading.Thread(target=greet)
        thread.start()
        yield listener.getsockname()
        thread.join()


def with_socket(family, kind, call):
    with closing(socket.socket(family, kind)) as sock:
        call(sock)


def tcp(call):
    return lambda: with_socket(socket.AF_INET, socket.SOCK_STREAM, call)


def udp(call):
    return lambda: with_socket(socket.AF_INET, socket.SOCK_DGRAM, call)


def open_url(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(url, timeout=1)


ROADS = {
    "connect": (tcp(lambda sock: sock.connect((OUTSIDE, 80))), f"{OUTSIDE}:80"),
    "connect_ex": (tcp(lambda sock: sock.connect_ex((OUTSIDE, 80))), f"{OUTSIDE}:80"),
    "connect by name": (tcp(lambda sock: sock.connect(("a.example", 80))), "a.example:80"),
    "connect over IPv6": (
        lambda: with_socket(
            socket.AF_INET6, socket.SOCK_STREAM, lambda sock: sock.connect((OUTSIDE_6, 80))
        ),
        rf"\[{OUTSIDE_6}\]:80",
    ),
    "sendto": (udp(lambda sock: sock.sendto(b"", (OUTSIDE, 53))), f"{OUTSIDE}:53"),
    "sendto with flags": (udp(lambda sock: sock.sendto(b"", 0, (OUTSIDE, 53))), f"{OUTSIDE}:53"),
    "sendmsg": (udp(lambda sock: sock.sendmsg([b""], [], 0, (OUTSIDE, 53))), f"{OUTSIDE}:53"),
    "create_connection": (lambda: socket.create_connection((OUTSIDE, 80)), f"{OUTSIDE}:80"),
    "getaddrinfo": (lambda: socket.getaddrinfo("a.example", 443), "a.example:443"),
    "getaddrinfo of bytes": (lambda: socket.getaddrinfo(b"a.example", "https"), "a.example"),
    "gethostbyname": (lambda: socket.gethostbyname("a.example"), "a.example"),
    "gethostbyname_ex": (lambda: socket.gethostbyname_ex("a.example"), "a.example"),
    "gethostbyaddr": (lambda: socket.gethostbyaddr(OUTSIDE), OUTSIDE),
    "getnameinfo": (lambda: socket.getnameinfo((OUTSIDE, 80), 0), OUTSIDE),
    "urllib": (lambda: open_url("https://a.example/x"), "a.example:443"),
    "urllib to OpenAI": (lambda: open_url("https://api.openai.com/v1/x"), "api.openai.com:443"),
}


@pytest.mark.parametrize(("attempt", "place"), ROADS.values(), ids=ROADS)
@pytest.mark.usefixtures("inside")
def test_no_road_leads_out(attempt, place):
    with pytest.raises(NetworkForbidden, match=place):
        attempt()


async def connect(host, port):
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


async def send_datagram(host, port):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(host, port)
    )
    transport.close()


async def look_up(host, port):
    await asyncio.get_running_loop().getaddrinfo(host, port)


async def look_back(host, port):
    await asyncio.get_running_loop().getnameinfo((host, port))


async def connect_socket(host, port):
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))


async def get_with_aiohttp(host, port):
    aiohttp = pytest.importorskip("aiohttp")
    async with aiohttp.ClientSession() as session:
        await session.get(f"http://{host}:{port}/")


async def get_with_httpx(host, port):
    library = importlib.import_module("httpx")
    async with library.AsyncClient(trust_env=False) as client:
        await client.get(f"http://{host}:{port}/")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("attempt", "host"),
    [
        (connect, OUTSIDE),
        (connect, "a.example"),
        (send_datagram, OUTSIDE),
        (look_up, "a.example"),
        (look_back, OUTSIDE),
        (connect_socket, OUTSIDE),
        (get_with_aiohttp, OUTSIDE),
        (get_with_aiohttp, "a.example"),
        (get_with_httpx, OUTSIDE),
        (get_with_httpx, "a.example"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.usefixtures("inside")
def test_no_event_loop_leads_out(loop, attempt, host):
    new_loop = importlib.import_module(loop).new_event_loop if loop == "asyncio" else None
    if loop == "uvloop":
        new_loop = pytest.importorskip("uvloop").new_event_loop
    with (
        asyncio.Runner(loop_factory=new_loop) as runner,
        pytest.raises(NetworkForbidden, match=host),
    ):
        runner.run(attempt(host, 80))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.usefixtures("inside")
def test_loopback_is_open_to_event_loops(server, loop):
    new_loop = None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    async def greeting():
        reader, writer = await asyncio.open_connection(*server)
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(greeting()) == b"hello"
        runner.run(look_up("127.0.0.1", 80))
        runner.run(send_datagram("127.0.0.1", 9))


@pytest.mark.usefixtures("inside")
def test_loopback_is_open(server):
    with socket.create_connection(server) as sock:
        assert sock.recv(5) == b"hello"
    assert socket.getaddrinfo("localhost", 80)
    assert socket.getaddrinfo(None, 80)
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.sendto(b"", ("127.0.0.1", server[1]))


@pytest.mark.usefixtures("inside")
def test_nothing_need_be_looked_up_for_an_address():
    assert socket.getaddrinfo(OUTSIDE, 80)[0][-1] == (OUTSIDE, 80)
    assert socket.getnameinfo((OUTSIDE, 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("a.example", 80, flags=socket.AI_NUMERICHOST)


@pytest.mark.usefixtures("inside")
def test_a_server_may_ask_for_its_own_name():
    with suppress(OSError):  # a machine need not know itself
        socket.gethostbyaddr(socket.gethostname())


@pytest.mark.usefixtures("inside")
def test_unix_sockets_are_open(tmp_path):
    path = str(tmp_path / "s")
    with (
        closing(socket.socket(socket.AF_UNIX)) as listener,
        closing(socket.socket(socket.AF_UNIX)) as sock,
    ):
        listener.bind(path)
        listener.listen()
        sock.connect(path)
        sock.sendmsg([b"hello"])
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(5) == b"hello"


@pytest.mark.usefixtures("inside")
def test_sockets_of_the_kernel_are_open():
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        pytest.skip("only Linux has netlink")
    with closing(socket.socket(family, socket.SOCK_RAW)) as sock, suppress(OSError):
        sock.sendto(b"", (0, 0))


@pytest.mark.usefixtures("inside")
def test_threads_are_held_too():
    errors = []

    def attempt():
        try:
            socket.create_connection((OUTSIDE, 80))
        except NetworkForbidden as error:
            errors.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert len(errors) == 1


@pytest.mark.usefixtures("inside")
def test_the_error_says_what_was_tried_and_how_to_allow_it():
    with pytest.raises(BatchsimError) as raised:
        socket.create_connection((OUTSIDE, 80))
    assert OUTSIDE + ":80" in str(raised.value)
    assert f'intercept(..., allow=["{OUTSIDE}"])' in raised.value.hint
    assert "of the marker batchsim" in raised.value.hint
    assert not isinstance(raised.value, OSError)  # it would be taken for a broken network


def reach(port, host=OUTSIDE):
    tcp(lambda sock: sock.connect((host, port)))()


let_through = partial(pytest.raises, pytest.fail.Exception, match=OUTSIDE)
"""Past the guard, to that of this test suite."""


@pytest.mark.parametrize("allow", [OUTSIDE, f"{OUTSIDE}:80"])
def test_an_allowed_address_is_let_through(allow):
    with intercept(FakeBackend(), allow=[allow]), let_through():
        reach(80)


def test_another_port_of_an_allowed_place_is_not():
    with intercept(FakeBackend(), allow=[f"{OUTSIDE}:80"]), pytest.raises(NetworkForbidden):
        reach(81)


@pytest.mark.parametrize(
    "look_up",
    [
        lambda: socket.getaddrinfo("a.EXAMPLE", 443),
        lambda: socket.gethostbyname("a.example"),
        lambda: socket.gethostbyname_ex("a.example"),
    ],
    ids=["getaddrinfo", "gethostbyname", "gethostbyname_ex"],
)
def test_an_allowed_name_allows_the_addresses_that_it_has(monkeypatch, look_up):
    def resolve(host, port, *_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (OUTSIDE, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "gethostbyname", lambda _: OUTSIDE)
    monkeypatch.setattr(socket, "gethostbyname_ex", lambda _: ("a.example", [], [OUTSIDE]))
    with intercept(FakeBackend(), allow=["A.example:443"]):
        with pytest.raises(NetworkForbidden):
            reach(443)
        assert look_up()
        with let_through():
            reach(443)
        with pytest.raises(NetworkForbidden):
            reach(80)
        with pytest.raises(NetworkForbidden):
            socket.getaddrinfo("b.example", 443)


def test_an_allowed_name_allows_its_addresses_on_uvloop_too(monkeypatch):
    uvloop = pytest.importorskip("uvloop")

    async def resolve(loop, host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (OUTSIDE, port))]

    async def look_up_and_reach():
        await look_up("a.example", 443)
        with let_through():
            reach(443)

    monkeypatch.setattr(uvloop.Loop, "getaddrinfo", resolve)
    with (
        intercept(FakeBackend(), allow=["a.example"]),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(look_up_and_reach())


class Abroad(socket.socket):
    """A socket that says it is connected to an address outside."""

    def getpeername(self):
        return OUTSIDE, 443


@pytest.mark.parametrize(
    "send",
    [
        lambda sock: sock.send(b"x"),
        lambda sock: sock.sendall(b"x"),
        lambda sock: sock.sendmsg([b"x"]),
    ],
    ids=["send", "sendall", "sendmsg"],
)
def test_a_connection_of_before_is_held_at_its_next_send(server, send):
    with Abroad() as sock:
        sock.connect(server)
        with intercept(FakeBackend()), pytest.raises(NetworkForbidden, match=f"{OUTSIDE}:443"):
            send(sock)
        with intercept(FakeBackend(), allow=[OUTSIDE]):
            send(sock)


@pytest.mark.parametrize("name", ["send", "sendall", "write"])
def test_an_encrypted_connection_of_before_is_held_too(monkeypatch, name):
    with closing(socket.socket()) as sock:
        wrapped = ssl.create_default_context().wrap_socket(
            sock, server_hostname="a.example", do_handshake_on_connect=False
        )
    with closing(wrapped):
        monkeypatch.setattr(ssl.SSLSocket, "getpeername", lambda _: (OUTSIDE, 443))
        with intercept(FakeBackend()), pytest.raises(NetworkForbidden, match=f"{OUTSIDE}:443"):
            getattr(wrapped, name)(b"x")


@pytest.mark.usefixtures("inside")
def test_a_socket_that_is_not_connected_says_so_itself():
    with closing(socket.socket()) as sock, pytest.raises(BrokenPipeError):
        sock.send(b"x")


def test_the_innermost_block_says_what_is_allowed():
    with intercept(FakeBackend(), allow=[OUTSIDE]):
        with intercept(FakeBackend()), pytest.raises(NetworkForbidden):
            reach(80)
        with let_through():
            reach(80)


def test_outside_the_block_all_is_as_it_was():
    with intercept(FakeBackend()):
        pass
    with let_through():
        reach(80)


def test_a_guard_that_someone_kept_lets_everything_through_afterwards():
    with intercept(FakeBackend()):
        kept = socket.getaddrinfo
    assert kept("127.0.0.1", 80) == socket.getaddrinfo("127.0.0.1", 80)
    with pytest.raises(socket.gaierror):
        kept("", "no such service")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("169.254.169.254", False),
        ("10.0.0.1", False),
        ("255.255.255.255", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("2130706433", False),
    ],
)
def test_what_is_this_machine(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("place", "host", "port", "expected"),
    [
        ("a.example", "a.example", 443, True),
        ("a.example", "A.example", None, True),
        ("a.example", "b.a.example", 443, False),
        ("a.example:443", "a.example", None, True),
        ("a.example:443", "a.example", 80, False),
        ("2001:db8::1", "2001:db8::1", 80, True),
        ("[2001:db8::1]:80", "2001:db8::1", 80, True),
        ("[2001:db8::1]:80", "2001:db8::1", 81, False),
    ],
)
def test_what_is_allowed(place, host, port, expected):
    assert Allowed([place]).admits(host, port) is expected


@pytest.mark.parametrize(
    "place", ["https://a.example", "a.example/x", "", "a.example:x", "u@a.example", ":80"]
)
def test_what_is_no_place_is_refused_at_once(place):
    with pytest.raises(UsageError, match="not a host"):
        intercept(FakeBackend(), allow=[place])


def test_a_single_place_is_no_list():
    with pytest.raises(UsageError, match="list of hosts"):
        intercept(FakeBackend(), allow="a.example")
