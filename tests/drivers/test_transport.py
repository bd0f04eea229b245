import pytest

from drivers.errors import LinkError, SettingsError
from drivers.replay import Replay, Step, parse_capture
from drivers.transport import LineSettings, Listener, Serial, Tcp, Udp, open_line


@pytest.mark.parametrize(
    "line",
    [
        Tcp("127.0.0.1", 1),
        Udp("127.0.0.1", 1),
        Listener("127.0.0.1", 1),
        Serial("/dev/null", LineSettings(url="")),
        Replay(()),
    ],
)
async def test_line_that_is_not_open_reads_and_writes_nothing(line):
    await line.close()
    with pytest.raises(LinkError):
        await line.read()
    with pytest.raises(LinkError):
        await line.write(b"x")
    assert line.discard() == 0


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("serial:///dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0", Serial),
        ("tcp://[::1]:4001", Tcp),
        ("tls://plc.local:802", Tcp),
        ("udp://0.0.0.0:8888", Udp),
        ("listen://0.0.0.0:4001", Listener),
    ],
)
def test_address_names_the_line(url, kind):
    assert isinstance(open_line(LineSettings(url=url)), kind)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("/dev/ttyUSB0", "serial://"),
        ("serial://dev/ttyUSB0", "three slashes"),
        ("tcp://192.168.1.10", ":502"),
        ("tcp://h:70000", "65535"),
        ("udp://:8888", "udp://0.0.0.0:8888"),
        ("listen://0.0.0.0", "listen://0.0.0.0:4001"),
        ("rtu:///dev/ttyS0", "serial://"),
    ],
)
def test_address_that_is_none_is_refused_with_the_form_to_write(url, hint):
    with pytest.raises(SettingsError) as caught:
        open_line(LineSettings(url=url))
    assert hint in caught.value.hint


@pytest.mark.parametrize("fields", [{"check_host": False}, {"key_file": "key.pem"}])
def test_tls_that_would_trust_anybody_or_lacks_a_certificate_is_refused(fields):
    with pytest.raises(SettingsError):
        open_line(LineSettings(url="tls://plc.local:802", **fields))


@pytest.mark.parametrize(
    ("fields", "bits"), [({}, 10), ({"parity": "E"}, 11), ({"data_bits": 7, "parity": "O", "stop_bits": 2}, 11)]
)
def test_character_time_counts_every_bit_on_the_wire(fields, bits):
    assert LineSettings(url="", baud=9600, **fields).character_s == bits / 9600


def test_capture_is_read_from_text():
    text = '# a comment\n> 01 03\n\n<" $X\\r\\n\n< ff\n'
    assert parse_capture(text) == (Step(True, b"\x01\x03"), Step(False, b"$X\r\n"), Step(False, b"\xff"))
    with pytest.raises(ValueError, match="line 1"):
        parse_capture("01 03")


async def test_replay_refuses_octets_that_the_capture_did_not_send():
    line = Replay((Step(True, b"\x01\x03"), Step(False, b"\x02")))
    await line.open()
    await line.write(b"\x01")
    await line.write(b"\x03")
    assert await line.read() == b"\x02"
    assert line.is_done
    with pytest.raises(ValueError, match="its end"):
        await line.write(b"\x01")
    await line.open()
    with pytest.raises(ValueError, match="01 03"):
        await line.write(b"\x09")
