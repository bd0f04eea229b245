import asyncio
import json

import aiohttp
import pytest

from lab.platform import Book, MalformedError, Platform, Stream, Trouble

GATEWAY = "gw-test-0001"


def scan(seq, polls, *, key=None, lane="M", epoch="1-aa", level=50.0, quality="good"):
    values = {
        "tanks.level": {"value": level, "quality": quality, "unit": "%"},
        "tanks.polls": {"value": polls, "quality": quality, "unit": ""},
    }
    return {
        "key": key or f"k-{epoch}-{lane}-{seq}", "gateway": GATEWAY, "site": "s", "epoch": epoch, "lane": lane,
        "seq": seq, "captured_at": "2026-01-01T00:00:00Z", "kind": "scan", "values": values,
    }  # fmt: skip


def alarm(seq, change="raised"):
    return {
        "key": f"a{seq}", "gateway": GATEWAY, "site": "s", "epoch": "1-aa", "lane": "A", "seq": seq,
        "captured_at": "2026-01-01T00:00:00Z", "kind": "alarm", "alarm": "tanks.level:high", "tag": "tanks.level",
        "level": "high", "change": change, "priority": 2, "value": 91.0, "limit": 90.0,
    }  # fmt: skip


@pytest.fixture
def book():
    book = Book(":memory:", [Stream(gateway=GATEWAY, counter="tanks.polls", values=2)])
    yield book
    book.close()


def arrivals(book):
    return book.arrivals[GATEWAY, "tanks.polls"]


def test_a_dense_run_has_no_gap_and_no_duplicate(book):
    assert book.receive([scan(n, n) for n in range(1, 101)], 0) == 100
    assert book.gaps() == {}
    assert book.duplicates == 0
    assert book.samples == 200
    assert book.tags == {(GATEWAY, "tanks.level"), (GATEWAY, "tanks.polls")}


def test_a_planted_gap_is_told_by_seq_and_by_counter(book):
    book.receive([scan(n, n) for n in range(1, 101) if n not in (40, 41, 77)], 0)
    assert book.gaps() == {(GATEWAY, "1-aa", "M"): [(40, 41), (77, 77)]}
    assert list(arrivals(book).numbers.missing(1, 100)) == [(40, 41), (77, 77)]


def test_what_was_done_with_an_alarm_is_kept_once_however_often_it_comes(book):
    done = alarm(1, "acknowledged") | {"kind": "standing", "comment": "operation 7"}
    book.receive([done], 0)
    book.receive([done], 0)
    assert book.standings == [(GATEWAY, "tanks.level:high", "acknowledged", "operation 7")]
    assert book.raised == []


def test_records_that_come_late_close_the_gap(book):
    book.receive([scan(1, 1), scan(3, 3)], 0)
    book.receive([scan(2, 2)], 0)
    assert book.gaps() == {}


def test_the_same_key_sent_again_is_a_resend_and_counts_once(book):
    book.receive([scan(1, 1), scan(2, 2)], 0)
    book.receive([scan(1, 1), scan(2, 2)], 1)
    assert (book.records, book.resends, book.duplicates, book.samples) == (2, 2, 0, 4)


def test_the_same_key_with_other_content_is_a_duplicate(book):
    book.receive([scan(1, 1), scan(1, 1, level=51.0)], 0)
    assert book.duplicates == 1
    assert "other content" in book.findings[0]


def test_the_same_record_under_another_key_is_one_duplicate(book):
    book.receive([scan(1, 1), scan(1, 1, key="other")], 0)
    assert book.duplicates == 1
    assert book.samples == 2


def test_the_same_poll_in_two_records_is_a_duplicate(book):
    book.receive([scan(1, 1), scan(2, 1)], 0)
    assert book.duplicates == 1
    assert "tanks.polls" in book.findings[0]
    assert book.samples == 2


def test_seq_starts_anew_in_each_epoch_and_lane(book):
    book.receive([scan(1, 1), scan(1, 2, epoch="2-bb"), alarm(1)], 0)
    assert book.gaps() == {}
    assert book.duplicates == 0


def test_a_bad_scan_is_recorded_but_holds_no_samples(book):
    book.receive([scan(1, None, level=None, quality="bad")], 0)
    assert book.records == 1
    assert book.samples == 0
    assert book.tags == set()
    assert arrivals(book).numbers.count == 0


def test_a_scan_with_a_value_missing_is_thin(book):
    record = scan(1, 1)
    record["values"]["tanks.level"] = {"value": None, "quality": "bad", "unit": "%"}
    book.receive([record], 0)
    assert arrivals(book).thin == 1
    assert book.samples == 1


def test_only_raised_alarms_count_as_raised(book):
    book.receive([alarm(1), alarm(2, "cleared")], 5)
    assert [(raised.alarm, raised.at_ns) for raised in book.raised] == [("tanks.level:high", 5)]


@pytest.mark.parametrize("broken", [None, 3, {}, {**scan(1, 1), "seq": "1"}, {**scan(1, 1), "values": {"t": 3}}])
def test_a_malformed_record_is_refused_and_nothing_of_the_post_is_kept(book, broken):
    with pytest.raises(MalformedError):
        book.receive([scan(1, 1), broken], 0)
    assert book.records == 0


async def post(session, url, body):
    async with session.post(url, data=body) as response:
        return response.status, await response.json()


async def test_posts_are_answered_and_alarms_are_heard(book):
    heard = []
    platform = Platform(book, heard.append, clock=lambda: 7)
    url = await platform.open()
    try:
        async with aiohttp.ClientSession() as session:
            body = json.dumps({"destination": "district", "records": [scan(1, 1), alarm(1)]})
            assert await post(session, url, body) == (200, {"accepted": 2})
            assert (await post(session, url, "{"))[0] == 400
            assert (await post(session, url, '{"records": 3}'))[0] == 400
            assert (await post(session, url, b"\xff\xfe"))[0] == 400
    finally:
        await platform.close()
        await platform.close()
        await asyncio.sleep(0)
    assert [alarm.at_ns for alarm in heard] == [7]
    assert platform.posts == 1


def test_a_resend_after_the_fleet_was_restored_differs_in_received_at_only(book):
    book.receive([{**scan(1, 1), "received_at": "2026-01-01T00:00:01Z"}], 0)
    book.receive([{**scan(1, 1), "received_at": "2026-01-01T09:00:00Z"}], 1)
    assert (book.resends, book.duplicates) == (1, 0)


def test_a_tag_that_comes_by_exception_is_neither_missed_nor_counted():
    by_exception = frozenset({"tanks.level"})
    book = Book(":memory:", [Stream(gateway=GATEWAY, counter="tanks.polls", values=1, by_exception=by_exception)])
    thinned = scan(2, 2)
    del thinned["values"]["tanks.level"]
    book.receive([scan(1, 1), thinned], 0)
    assert (arrivals(book).samples, arrivals(book).thin) == (2, 0)
    book.close()


def count(records, *, lane="M", hour="2026-01-01T00:00:00.000Z"):
    return {"gateway": GATEWAY, "lane": lane, "hour": hour, "records": records, "samples": 0, "lost": 0}


def test_counts_that_the_fleet_tells_are_held_against_what_came(book):
    book.receive([scan(n, n) for n in range(1, 4)], 0)
    undated = {**scan(4, 4), "captured_at": None, "received_at": "2026-01-01T00:10:00Z", "clock": "unset"}
    book.receive([undated], 0)
    assert book.receive_counts([count(4), count(0, lane="A")]) == 2
    assert book.short_hours() == []
    book.receive_counts([count(9), count(2, hour="2026-01-01T01:00:00.000Z")])
    assert book.short_hours() == [
        (GATEWAY, "M", "2026-01-01T00:00:00.000Z", 9, 4),
        (GATEWAY, "M", "2026-01-01T01:00:00.000Z", 2, 0),
    ]


@pytest.mark.parametrize("broken", [None, 3, {}, {**count(1), "records": "1"}])
def test_malformed_counts_are_refused_and_none_are_kept(book, broken):
    with pytest.raises(MalformedError):
        book.receive_counts([count(1), broken])
    assert book.short_hours() == []


async def test_counts_are_posted_beside_the_records(book):
    platform = Platform(book)
    url = (await platform.open()).replace("/records", "/counts")
    try:
        async with aiohttp.ClientSession() as session:
            assert await post(session, url, json.dumps({"destination": "d", "counts": [count(1)]})) == (
                200, {"accepted": 1},
            )  # fmt: skip
            assert (await post(session, url, '{"counts": 3}'))[0] == 400
            platform.trouble = Trouble.REFUSES
            assert (await post(session, url, '{"counts": []}'))[0] == 500
    finally:
        await platform.close()
    assert len(book.short_hours()) == 1


def test_bounds_of_an_undated_record_are_about_the_delivery(book):
    undated = {**scan(1, 1), "captured_at": None, "clock": "unset"}
    book.receive([{**undated, "not_before": None, "not_after": "2026-01-01T00:00:01Z"}], 0)
    book.receive([{**undated, "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-01-01T09:00:00Z"}], 1)
    assert (book.resends, book.duplicates) == (1, 0)
