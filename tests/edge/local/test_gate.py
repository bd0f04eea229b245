"""Who may see the page: waits grow, sessions end, codes are kept as hashes."""

from __future__ import annotations

import pytest

from edge.errors import EdgeError
from edge.local import code, gate
from edge.local.gate import Knocks, Sessions


def test_three_wrong_codes_cost_nothing_then_the_wait_doubles():
    knocks = Knocks()
    waits = []
    for _ in range(6):
        knocks.fail("10.0.0.9", 100.0)
        waits.append(knocks.wait_s("10.0.0.9", 100.0))
    assert waits == [0, 0, 0, 2, 4, 8]


def test_wait_of_one_address_is_bounded_and_not_that_of_another():
    knocks = Knocks()
    for _ in range(25):
        knocks.fail("10.0.0.9", 100.0)
    assert knocks.wait_s("10.0.0.9", 100.0) == gate.WAIT_MOST_S
    assert knocks.wait_s("10.0.0.10", 100.0) == 0


def test_wrong_codes_from_everywhere_slow_everybody_but_lock_nobody_out():
    knocks = Knocks()
    for number in range(300):
        knocks.fail(f"10.0.{number // 200}.{number % 200}", 100.0)
    assert knocks.wait_s("10.9.9.9", 100.0) == gate.WAIT_MOST_OVERALL_S
    assert knocks.wait_s("10.9.9.9", 100.0 + gate.WAIT_MOST_OVERALL_S) == 0


def test_right_code_forgets_the_wrong_ones():
    knocks = Knocks()
    for _ in range(3):
        knocks.fail("10.0.0.9", 100.0)
    knocks.succeed("10.0.0.9")
    knocks.fail("10.0.0.9", 100.0)
    assert knocks.wait_s("10.0.0.9", 100.0) == 0


def test_wrong_codes_of_long_ago_are_forgotten():
    knocks = Knocks()
    for _ in range(4):
        knocks.fail("10.0.0.9", 100.0)
    knocks.fail("10.0.0.9", 101.0 + gate.FORGET_S)
    assert knocks.wait_s("10.0.0.9", 101.0 + gate.FORGET_S) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.9", "10.0.0.9", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("10.0.0.9", "10.0.0.8", False),
    ],
)
def test_an_ipv6_host_cannot_try_from_each_of_its_addresses(one, other, same):
    assert (gate.neighbourhood(one) == gate.neighbourhood(other)) is same


def test_addresses_that_are_remembered_are_bounded():
    knocks = Knocks()
    for number in range(gate.ADDRESSES_MOST + 50):
        knocks.fail(f"2001:db8:{number:x}::1", 100.0)
    assert len(knocks._by_address) == gate.ADDRESSES_MOST


def test_session_ends_after_a_shift():
    sessions = Sessions()
    sessions.begin("token", "form", "张三", 0.0)
    assert sessions.find("token", gate.SESSION_S - 1) is not None
    assert sessions.find("token", gate.SESSION_S) is None
    assert sessions.find("token", 0.0) is None


def test_oldest_session_makes_room():
    sessions = Sessions()
    for number in range(gate.SESSIONS_MOST + 1):
        sessions.begin(f"token-{number}", "form", "张三", 0.0)
    assert sessions.find("token-0", 1.0) is None
    assert sessions.find("token-1", 1.0) is not None


# the code at rest


def test_code_file_holds_a_hash_that_only_its_owner_reads(tmp_path):
    path = tmp_path / "local-code"
    code.write_code(path, code.hash_code("2468013579"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert "2468013579" not in path.read_text()
    kept = code.read_code(path)
    assert kept.fits("2468013579")
    assert not kept.fits("2468013578")


def test_code_that_is_too_short_is_refused():
    with pytest.raises(EdgeError, match="7 characters is not taken"):
        code.hash_code("1234567")


def test_code_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "local-code"
    code.write_code(path, code.hash_code("2468013579"))
    path.chmod(0o640)
    with pytest.raises(EdgeError, match="can be read by others") as caught:
        code.read_code(path)
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize(
    "text",
    [
        "", "2468013579", "scrypt$16384$8$1$00", "scrypt$1048576$8$1$00$" + "00" * 64, "scrypt$3$8$1$00$" + "00" * 64,
        "scrypt$16384$8$1$zz$" + "00" * 64, "bcrypt$16384$8$1$00$" + "00" * 64, "scrypt$16384$8$1$00$00",
    ],
)  # fmt: skip
def test_file_that_holds_no_code_is_refused(tmp_path, text):
    path = tmp_path / "local-code"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(EdgeError, match="holds no site code"):
        code.read_code(path)


def test_missing_code_file_says_how_to_make_one(tmp_path):
    with pytest.raises(EdgeError) as caught:
        code.read_code(tmp_path / "none")
    assert "fengsui-edge local-code" in caught.value.hint
