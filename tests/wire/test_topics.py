from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.codec import KINDS
from wire.errors import DecodeError, VersionError, WireError
from wire.topics import (
    Down,
    Topic,
    Up,
    down_filter,
    format_topic,
    is_gateway,
    live_filter,
    may_publish,
    may_subscribe,
    parse_topic,
    up_filter,
)

KINDS_OF_MESSAGE = st.sampled_from([*Up, *Down])
GATEWAYS = st.from_regex(r"[a-z0-9][a-z0-9-]{6,62}", fullmatch=True)


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 4.7, without '#'."""
    wanted, given_parts = topic_filter.split("/"), topic.split("/")
    return len(wanted) == len(given_parts) and all(w in ("+", g) for w, g in zip(wanted, given_parts, strict=True))


@given(GATEWAYS, KINDS_OF_MESSAGE)
def test_parse_reads_what_format_wrote(gateway, kind) -> None:
    assert parse_topic(format_topic(gateway, kind)) == Topic(gateway, kind)


@given(GATEWAYS, KINDS_OF_MESSAGE)
def test_filters_let_through_exactly_their_topics(gateway, kind) -> None:
    topic = format_topic(gateway, kind)
    assert matches(up_filter(), topic) == isinstance(kind, Up)
    assert matches(down_filter(gateway), topic) == isinstance(kind, Down)
    assert not matches(down_filter(gateway + "x"), topic)
    assert matches(live_filter(Up.LIVE), topic) == (kind is Up.LIVE)


@given(GATEWAYS, GATEWAYS, KINDS_OF_MESSAGE)
def test_gateway_may_write_only_below_its_own_up_and_read_only_below_its_own_down(mine, other, kind) -> None:
    topic = format_topic(other, kind)
    assert may_publish(mine, topic) == (mine == other and isinstance(kind, Up))
    assert may_subscribe(mine, topic) == (mine == other and isinstance(kind, Down))


@pytest.mark.parametrize("wildcard", ["#", "fs/#", "fs/1/+/down/+", "fs/1/#", "+/+/gw-test-0001/down/+", "$SYS/#"])
def test_gateway_may_not_subscribe_by_a_wildcard_that_reaches_others(wildcard) -> None:
    assert not may_subscribe("gw-test-0001", wildcard)


def test_own_filter_is_allowed() -> None:
    assert may_subscribe("gw-test-0001", down_filter("gw-test-0001"))


@given(GATEWAYS, KINDS_OF_MESSAGE, st.text(st.characters(exclude_characters="/")).filter(lambda major: major != "1"))
def test_foreign_major_version_is_told_apart_from_garbage(gateway, kind, major) -> None:
    _, _, rest = format_topic(gateway, kind).split("/", 2)
    with pytest.raises(VersionError):
        parse_topic(f"fs/{major}/{rest}")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "fs",
        "fs/1/gw-test-0001/up",
        "fs/1/gw-test-0001/up/hello/more",
        "/fs/1/gw-test-0001/up/hello",
        "xx/1/gw-test-0001/up/hello",
        "fs/1/gw-test-0001/sideways/hello",
        "fs/1/gw-test-0001/up/welcome",
        "fs/1/gw-test-0001/down/hello",
        "fs/1/gw-test-0001/up/HELLO",
        "fs/1/gw-test-0001/up/",
        "fs/1/short/up/hello",
        "fs/1/GW-TEST-0001/up/hello",
        "fs/1/gw-test-0001\n/up/hello",
        "fs/1/+/up/hello",
        "fs/1//up/hello",
    ],
)
def test_garbage_is_refused(topic) -> None:
    with pytest.raises(DecodeError):
        parse_topic(topic)


@given(
    st.text() | st.lists(st.sampled_from(["fs", "1", "2", "gw-test-0001", "up", "down", "ack", "", "#"])).map("/".join)
)
def test_any_text_is_a_topic_or_a_wire_error(text) -> None:
    try:
        topic = parse_topic(text)
    except WireError:
        return
    assert format_topic(topic.gateway, topic.kind) == text


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a" * 7, True),
        ("a" * 6, False),
        ("a" * 63, True),
        ("a" * 64, False),
        ("0-----0", True),
        ("-aaaaaaa", False),
        ("gw_test_0001", False),
        ("gw-test-0001\n", False),
        ("gw-tést-0001", False),
        ("gw-test-000１", False),
    ],
)
def test_names_of_gateways(name, is_one) -> None:
    assert is_gateway(name) is is_one
    if not is_one:
        with pytest.raises(ValueError, match="not a gateway name"):
            format_topic(name, Up.HELLO)


def test_every_kind_of_message_has_a_topic_and_every_topic_a_message() -> None:
    assert set(KINDS) == {*Up, *Down}
    assert len(set(KINDS.values())) == len(KINDS)
