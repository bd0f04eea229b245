from __future__ import annotations

from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wire.messages import MESSAGES
from wire import codec
from wire.conversation import Ack, Batch, Clock, Greet, Hello, Welcome
from wire.errors import DecodeError, VersionError, WireError
from wire.record import Lane
from wire.sample import Live
from wire.topics import Down, Up
from wire.twin import Desired

pack = msgspec.msgpack.encode
ALL_KINDS = st.sampled_from([*Up, *Down])


@pytest.mark.parametrize("kind", [*Up, *Down])
def test_message_survives_the_round_trip(kind) -> None:
    assert codec.decode(codec.encode(MESSAGES[kind]), codec.KINDS[kind]) == MESSAGES[kind]


@pytest.mark.parametrize("kind", [*Up, *Down])
def test_message_is_read_from_its_plain_form_whatever_its_length(kind) -> None:
    plain = bytes((codec.PLAIN,)) + pack(MESSAGES[kind])
    assert codec.decode(plain, codec.KINDS[kind]) == MESSAGES[kind]


def test_short_message_is_plain_and_long_one_compressed() -> None:
    assert codec.encode(Greet(reason="x"))[0] == codec.PLAIN
    long = codec.encode(Greet(reason="x" * 10_000))
    assert long[0] == codec.ZSTD
    assert len(long) < 100


def batch_of(lane: Lane, size: int) -> Batch:
    return Batch(
        session="s" * 64, round=2**40, epoch="e" * 64, lane=lane, first=1, items=(b"x" * size,), boot="b", clock=Clock()
    )


@pytest.mark.parametrize("size", [1, 1000, 500_000])
@pytest.mark.parametrize("lane", [*Lane])
def test_lane_of_a_batch_shows_without_decoding_it(lane, size) -> None:
    assert codec.peek_lane(codec.encode(batch_of(lane, size))) is lane


def test_lane_does_not_show_where_there_is_none() -> None:
    far = pack({"x": "y" * codec.PEEK_BYTES, "lane": "A"})
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27, strategy=1)
    ).compressobj()
    hidden = wide.compress(pack(batch_of(Lane.ALARMS, 1))) + wide.flush()
    for payload in (b"", b"\x00", b"\x01", b"\x01garbage", b"\x00" + far, b"\x01" + hidden):
        assert codec.peek_lane(payload) is None


def test_text_before_the_lane_cannot_pass_for_it() -> None:
    forged = msgspec.structs.replace(batch_of(Lane.MEASUREMENTS, 1), session="lane", epoch="A lane A")
    assert codec.peek_lane(codec.encode(forged)) is Lane.MEASUREMENTS


@given(octets=st.binary(max_size=600))
def test_a_peek_at_anything_raises_nothing(octets) -> None:
    for form in (b"", b"\x00", b"\x01", b"\x01" + zstandard.compress(b"x" * 600)[:20]):
        codec.peek_lane(form + octets)


@pytest.mark.parametrize("kind", [*Up, *Down])
def test_field_of_a_newer_release_is_ignored(kind) -> None:
    fields = msgspec.to_builtins(MESSAGES[kind], builtin_types=(bytes,))
    newer = bytes((codec.PLAIN,)) + pack({"from_the_future": {"deep": [1, None]}, **fields})
    assert codec.decode(newer, codec.KINDS[kind]) == MESSAGES[kind]


@pytest.mark.parametrize(
    ("kind", "required"),
    [
        (Hello, "epochs"),
        (Welcome, "cursors"),
        (Batch, "items"),
        (Ack, "committed"),
        (Live, "tags"),
        (Desired, "config"),
    ],
)
def test_missing_field_is_refused_by_name(kind, required) -> None:
    message = next(message for message in MESSAGES.values() if isinstance(message, kind))
    fields = msgspec.to_builtins(message, builtin_types=(bytes,))
    del fields[required]
    with pytest.raises(DecodeError, match=f"not a {kind.__name__}: .*{required}"):
        codec.decode(bytes((codec.PLAIN,)) + pack(fields), kind)


@pytest.mark.parametrize("form", [0x02, 0x7F, 0x80, 0xFF])
def test_form_of_a_newer_release_is_a_version_error(form) -> None:
    with pytest.raises(VersionError, match=f"0x{form:02x}"):
        codec.decode(bytes((form,)) + pack(Greet()), Greet)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00",
        b"\x01",
        b"\x00\xc1",
        b"\x00\x80\x80",
        b"\x00" + pack([1, 2]),
        b"\x00" + pack({"reason": 5}),
        b"\x00\x81\xa6reason\xa1\xff",
        b"\x00\x81\x80\x01",
        b"\x00\x81\xa1x" + b"\x91" * 5000 + b"\x90",
        b"\x01" + pack(Greet()),
        b"\x01" + zstandard.compress(b"junk"),
    ],
)
def test_garbage_is_a_decode_error(payload) -> None:
    with pytest.raises(DecodeError):
        codec.decode(payload, Greet)


@pytest.mark.parametrize("kind", [*Up, *Down])
def test_every_truncation_is_refused(kind) -> None:
    for payload in (codec.encode(MESSAGES[kind]), bytes((codec.PLAIN,)) + pack(MESSAGES[kind])):
        for length in range(len(payload)):
            with pytest.raises(WireError):
                codec.decode(payload[:length], codec.KINDS[kind])


def test_zip_bomb_is_refused_before_memory_is_taken() -> None:
    bomb = zstandard.compress(b"\0" * (codec.MESSAGE_MAX_BYTES + 1))
    assert len(bomb) < 10_000
    with pytest.raises(DecodeError, match="the most is"):
        codec.decode(bytes((codec.ZSTD,)) + bomb, Greet)


def test_zip_bomb_that_hides_its_size_is_refused() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * (codec.MESSAGE_MAX_BYTES + 1))
    with pytest.raises(DecodeError):
        codec.decode(bytes((codec.ZSTD,)) + bomb, Greet)


def test_zip_bomb_that_lies_about_its_size_is_refused() -> None:
    bomb = bytearray(zstandard.compress(b"\0" * 60_000))
    size_at = bomb.index((60_000 - 256).to_bytes(2, "little"))
    bomb[size_at : size_at + 2] = (300 - 256).to_bytes(2, "little")
    assert zstandard.frame_content_size(bytes(bomb)) == 300
    with pytest.raises(DecodeError):
        codec.decode(bytes((codec.ZSTD,)) + bytes(bomb), Greet)


def test_largest_message_passes() -> None:
    room = codec.MESSAGE_MAX_BYTES - len(pack(Greet(reason="x" * 70_000))) + 70_000
    assert len(codec.decode(codec.encode(Greet(reason="x" * room)), Greet).reason) == room


def decode_or_wire_error(payload: bytes, kind: Up | Down) -> None:
    try:
        message = codec.decode(payload, codec.KINDS[kind])
    except WireError:
        return
    assert isinstance(message, codec.KINDS[kind])


@given(st.binary(max_size=300), ALL_KINDS)
def test_random_octets_only_ever_raise_wire_errors(octets, kind) -> None:
    decode_or_wire_error(octets, kind)


@given(st.binary(max_size=300), ALL_KINDS, st.booleans())
def test_random_octets_behind_a_known_form_only_ever_raise_wire_errors(octets, kind, is_compressed) -> None:
    body = b"\x01" + zstandard.compress(octets) if is_compressed else b"\x00" + octets
    decode_or_wire_error(body, kind)


@given(ALL_KINDS, st.data())
def test_flipped_octets_only_ever_raise_wire_errors(kind, data) -> None:
    payload = bytearray(data.draw(st.sampled_from([codec.encode(MESSAGES[kind]), b"\x00" + pack(MESSAGES[kind])])))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    decode_or_wire_error(bytes(payload), kind)


documents: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 9) | st.binary(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(documents, ALL_KINDS, st.data())
@example({"version": 1, "config": {}}, Down.DESIRED, None)
def test_well_formed_msgpack_of_the_wrong_shape_only_ever_raises_wire_errors(document, kind, data) -> None:
    if data is not None and isinstance(document, dict):
        names = st.sampled_from(codec.KINDS[kind].__struct_encode_fields__)
        document = {**document, **data.draw(st.dictionaries(names, documents, max_size=8))}
    decode_or_wire_error(b"\x00" + pack(document), kind)
