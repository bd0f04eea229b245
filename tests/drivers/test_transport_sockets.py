"""Lines over the network: TCP, TLS, UDP, and the port that an instrument connects to."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drivers.errors import LinkError, SettingsError
from drivers.transport import HELD_DATAGRAMS, LineSettings, Listener, Tcp, Udp, open_line
from drivers.transport.inbox import HELD_OCTETS
from tests.servers import free_port

HERE = "127.0.0.1"


async def read(line) -> bytes:
    return await asyncio.wait_for(line.read(), 2)


async def wait_for(condition) -> None:
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - what is waited for is a state of a socket, which tells nobody
            await asyncio.sleep(0.005)


async def test_tcp_carries_octets_and_tells_when_the_other_side_closes():
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    line = Tcp("127.0.0.1", server.sockets[0].getsockname()[1])
    for _ in range(2):
        await line.open()
        await line.write(b"hello")
        assert await asyncio.wait_for(line.read(), 1) == b"HELLO"
        with pytest.raises(LinkError, match="closed the connection"):
            await asyncio.wait_for(line.read(), 1)
        with pytest.raises(LinkError):
            await line.write(b"more")
    await line.close()
    server.close()
    await server.wait_closed()


async def test_tcp_that_nobody_answers_is_a_link_error():
    with pytest.raises(LinkError, match="cannot connect"):
        await Tcp("127.0.0.1", free_port()).open()
    with pytest.raises(LinkError, match="cannot connect"):
        await Tcp("no-such-host.invalid", 502).open()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with certificates that sign themselves, here.pem for this host and other.pem for another."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for name, host in (("here", "IP:127.0.0.1"), ("other", "DNS:plc.invalid")):
        words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-addext", f"subjectAltName={host}"]
        subprocess.run(["openssl", *words.split(), *files], cwd=folder, check=True, capture_output=True)
    lock = ["openssl", "ec", "-in", "here.key", "-aes128", "-passout", "pass:x", "-out", "locked.key"]
    subprocess.run(lock, cwd=folder, check=True, capture_output=True)
    return folder


@asynccontextmanager
async def tls_echo(folder, name: str, client_ca: str = "") -> AsyncIterator[str]:
    """Serve TLS that answers in capitals; yield its url."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / client_ca)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())
        writer.close()

    server = await asyncio.start_server(echo, HERE, 0, ssl=context)
    try:
        yield f"tls://{HERE}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def test_tls_carries_octets_to_an_instrument_that_bears_its_host(certificates):
    async with tls_echo(certificates, "here") as url:
        line = open_line(LineSettings(url=url, ca_file=str(certificates / "here.pem")))
        await line.open()
        await line.write(b"hello")
        assert await read(line) == b"HELLO"
        with pytest.raises(LinkError, match="closed the connection"):
            await read(line)
        await line.close()


async def test_tls_refuses_a_certificate_that_bears_another_host_unless_it_is_pinned_alone(certificates):
    async with tls_echo(certificates, "other") as url:
        pin = str(certificates / "other.pem")
        with pytest.raises(LinkError, match="no TLS") as caught:
            await open_line(LineSettings(url=url, ca_file=pin)).open()
        assert "ca_file" in caught.value.hint
        line = open_line(LineSettings(url=url, ca_file=pin, check_host=False))
        await line.open()
        await line.close()


@pytest.mark.parametrize("fields", [{}, {"ca_file": "other.pem", "check_host": False}])
async def test_tls_refuses_a_certificate_that_nobody_it_trusts_has_signed(certificates, fields):
    fields = {key: str(certificates / value) if key == "ca_file" else value for key, value in fields.items()}
    async with tls_echo(certificates, "here") as url:
        with pytest.raises(LinkError, match="certificate verify failed"):
            await open_line(LineSettings(url=url, **fields)).open()


async def test_tls_shows_our_certificate_to_an_instrument_that_asks_for_one(certificates):
    async with tls_echo(certificates, "here", client_ca="other.pem") as url:
        ours = {"cert_file": str(certificates / "other.pem"), "key_file": str(certificates / "other.key")}
        line = open_line(LineSettings(url=url, ca_file=str(certificates / "here.pem"), **ours))
        await line.open()
        await line.write(b"ours")
        assert await read(line) == b"OURS"
        await line.close()


@pytest.mark.parametrize(
    "files",
    [
        {"ca_file": "missing.pem"},
        {"ca_file": "here.key"},
        {"cert_file": "here.pem", "key_file": "other.key"},
        {"cert_file": "here.pem", "key_file": "locked.key"},
    ],
)
async def test_tls_files_that_cannot_be_used_are_a_settings_error(certificates, files):
    files = {key: str(certificates / name) for key, name in files.items()}
    with pytest.raises(SettingsError, match="TLS files"):
        await open_line(LineSettings(url=f"tls://{HERE}:1", **files)).open()


@pytest.fixture
async def udp():
    """An open UDP line, its address, and a socket that sends to it."""
    line = Udp(HERE, free_port(socket.SOCK_DGRAM))
    await line.open()
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.connect((HERE, line._port))
        yield line, sender
    await line.close()


async def test_each_datagram_is_one_read(udp):
    line, sender = udp
    for data in (b"one", b"", b"two"):
        sender.send(data)
    assert [await read(line), await read(line)] == [b"one", b"two"]


async def test_reader_that_is_late_loses_the_oldest_datagrams_and_knows_it(udp):
    line, sender = udp
    for number in range(HELD_DATAGRAMS + 3):
        sender.send(number.to_bytes(2, "big"))
        await asyncio.sleep(0)
    await wait_for(lambda: line.dropped == 3)
    assert await read(line) == b"\x00\x03"


async def test_datagrams_that_wait_are_bounded_in_octets(udp):
    line, sender = udp
    for _ in range(40):
        sender.send(bytes(4096))
        await asyncio.sleep(0.001)
    await wait_for(lambda: line.dropped == 40 - HELD_OCTETS // 4096)
    assert line.discard() == HELD_OCTETS


async def test_udp_answers_whoever_sent_last(udp):
    line, sender = udp
    with pytest.raises(LinkError, match="nobody"):
        await line.write(b"too early")
    sender.send(b"?")
    await read(line)
    await line.write(b"!")
    assert await asyncio.to_thread(sender.recv, 10) == b"!"


async def test_udp_port_that_is_taken_or_not_ours_is_a_link_error(udp):
    line, _ = udp
    for host, port in ((HERE, line._port), ("192.0.2.1", 9), ("no-such-host.invalid", 9)):
        with pytest.raises(LinkError, match="cannot receive"):
            await Udp(host, port).open()


@pytest.fixture
async def listener():
    """An open listening line."""
    line = Listener(HERE, free_port())
    await line.open()
    yield line
    await line.close()


async def connect(line: Listener) -> asyncio.StreamWriter:
    return (await asyncio.open_connection(HERE, line._port))[1]


async def test_reading_waits_for_an_instrument_to_connect(listener):
    reading = asyncio.create_task(read(listener))
    instrument = await connect(listener)
    instrument.write(b"hello")
    assert await reading == b"hello"
    instrument.close()


async def test_writing_waits_for_an_instrument_to_connect(listener):
    writing = asyncio.create_task(listener.write(b"ask"))
    reader, instrument = await asyncio.open_connection(HERE, listener._port)
    await asyncio.wait_for(writing, 2)
    assert await asyncio.wait_for(reader.readexactly(3), 2) == b"ask"
    instrument.close()


async def test_instrument_that_leaves_takes_the_line_down_after_its_last_octets_and_may_come_back(listener):
    instrument = await connect(listener)
    instrument.write(b"half a fra")
    instrument.close()
    assert await read(listener) == b"half a fra"
    with pytest.raises(LinkError, match="closed"):
        await read(listener)
    await listener.open()
    instrument = await connect(listener)
    instrument.write(b"whole frame")
    assert await read(listener) == b"whole frame"
    instrument.close()


async def test_newer_connection_ends_the_older_and_their_octets_are_never_joined(listener):
    old = await connect(listener)
    old.write(b"half a fra")
    await wait_for(lambda: listener._link is not None and listener._inbox._held)
    new = await connect(listener)
    new.write(b"me!")
    assert await read(listener) == b"half a fra"
    with pytest.raises(LinkError, match="in place of"):
        await read(listener)
    await listener.open()
    again = await connect(listener)
    again.write(b"whole frame")
    assert await read(listener) == b"whole frame"
    for writer in (old, new, again):
        writer.close()


async def test_listener_whose_reader_is_late_stops_reading_and_loses_nothing(listener):
    instrument = await connect(listener)
    data = bytes(range(256)) * (HELD_OCTETS // 64)
    instrument.write(data)
    await wait_for(lambda: listener._inbox.is_full)
    got = bytearray()
    while len(got) < len(data):
        got += await read(listener)
    assert got == data
    instrument.close()


async def test_closing_wakes_whoever_waits_for_an_instrument(listener):
    waiting = [asyncio.create_task(listener.read()), asyncio.create_task(listener.write(b"x"))]
    await asyncio.sleep(0)
    await listener.close()
    for outcome in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 2):
        assert isinstance(outcome, LinkError)


async def test_listening_port_that_is_taken_is_a_link_error(listener):
    with pytest.raises(LinkError, match="cannot listen"):
        await Listener(HERE, listener._port).open()
