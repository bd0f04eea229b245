"""What switches an output: a GPIO line, a program; and the key file without which nothing is written to the plant."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest
from gpiod.line import Value

from drivers.errors import DeviceError, LinkError, LinkTimeoutError, SettingsError
from edge.output_settings import OutputEntry
from edge.outputs import Interlock, make_switch
from edge.outputs.gpio import GpioSwitch, Held, Line
from wire.sample import Value as TagValue

HIGH, LOW = Value.ACTIVE, Value.INACTIVE


class Chip:
    """One line of a chip: what it was set to, in order."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.taken = 0
        self.fault: OSError | None = None

    def take(self, chip: str, line: Line, value: Value) -> Held:
        assert (chip, line) == ("/dev/gpiochip0", 17)
        self.set_value(line, value)
        self.taken += 1
        return self

    def set_value(self, line: Line, value: Value) -> None:
        assert line == 17
        if self.fault is not None:
            raise self.fault
        self.values.append(value)

    def release(self) -> None:
        self.taken -= 1


@pytest.mark.parametrize(("on", "levels"), [(True, [HIGH, LOW]), (False, [LOW, HIGH])], ids=["", "active-low"])
async def test_line_is_taken_with_its_value_so_that_it_does_not_flicker(on, levels) -> None:
    chip = Chip()
    switch = GpioSwitch("/dev/gpiochip0", 17, on=on, off=not on, take=chip.take)
    await switch.set(on=True, cause="a")
    await switch.set(on=False, cause="a")
    assert (chip.values, chip.taken) == (levels, 1)
    switch.release()
    switch.release()
    assert chip.taken == 0


async def test_line_that_fails_is_let_go_and_taken_anew() -> None:
    chip = Chip()
    switch = GpioSwitch("/dev/gpiochip0", 17, on=True, off=False, take=chip.take)
    await switch.set(on=False, cause="a")
    chip.fault = OSError(19, "No such device")
    with pytest.raises(LinkError, match="line 17 of /dev/gpiochip0: No such device"):
        await switch.set(on=True, cause="a")
    assert chip.taken == 0
    chip.fault = None
    await switch.set(on=True, cause="a")
    assert (chip.values, chip.taken) == ([LOW, HIGH], 1)


async def test_chip_that_hangs_has_one_thread_and_no_command_overtakes_another(monkeypatch) -> None:
    monkeypatch.setattr("edge.outputs.gpio.ANSWER_MOST_S", 0.02)
    chip, answers, threads = Chip(), threading.Event(), set()

    def take(name: str, line: Line, value: Value) -> Held:
        threads.add(threading.get_ident())
        answers.wait()
        return chip.take(name, line, value)

    switch = GpioSwitch("/dev/gpiochip0", 17, on=True, off=False, take=take)
    try:
        for on in (True, False, True, True, True, True, True, True):
            with pytest.raises(LinkTimeoutError, match="did not answer"):
                await switch.set(on=on, cause="a")
        assert len(threads) == 1
    finally:
        answers.set()
    monkeypatch.setattr("edge.outputs.gpio.ANSWER_MOST_S", 5.0)
    await switch.set(on=False, cause="a")
    assert (chip.values, chip.taken) == ([HIGH, LOW], 1), "the command that hung, then the newest"
    switch.release()
    assert chip.taken == 0


@pytest.mark.parametrize("chip", ["/dev/gpiochip-none", "/dev/null"])
async def test_chip_that_is_none_is_told_by_the_binding(chip) -> None:
    entry = OutputEntry(name="siren", gpio_chip=chip, gpio_line=17)
    with pytest.raises(LinkError, match=f"line 17 of {chip}: No such "):
        await make_switch(entry, no_tag, Path("/nonexistent")).set(on=True, cause="a")


async def no_tag(tag: str, value: TagValue) -> None:
    raise AssertionError((tag, value))


def program(folder: Path, text: str, **keys: object) -> OutputEntry:
    path = folder / "call"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return OutputEntry(name="caller", program="call", **keys)  # type: ignore[arg-type]


async def run(folder: Path, text: str, *, on: bool = True, **keys: object) -> None:
    await make_switch(program(folder, text, **keys), no_tag, folder).set(on=on, cause="tank.level:high")


async def test_program_gets_its_arguments_as_they_are_and_no_shell_reads_them(tmp_path) -> None:
    said = tmp_path / "said"
    arguments = ("{state}", "$(id); {alarm} '", "{{x}}", "")
    await run(tmp_path, f'printf "%s|" "$@" > {said}; env | grep -c = >> {said}', on=False, arguments=arguments)
    words, _, names = said.read_text().rpartition("|")
    assert words.split("|") == ["off", "$(id); tank.level:high '", "{x}", ""]
    assert int(names) <= 6, "what the agent's environment holds is its own"


async def test_status_of_a_program_is_its_answer(tmp_path) -> None:
    await run(tmp_path, "exit 0")
    with pytest.raises(DeviceError, match="program call ended with status 3"):
        await run(tmp_path, "exit 3")
    with pytest.raises(DeviceError, match="program call was ended by signal 9"):
        await run(tmp_path, "kill -9 $$")


async def test_program_that_is_not_there_or_no_program_is_told(tmp_path) -> None:
    entry = OutputEntry(name="caller", program="call")
    with pytest.raises(SettingsError, match="cannot be run: No such file"):
        await make_switch(entry, no_tag, tmp_path).set(on=True, cause="a")
    (tmp_path / "call").write_text("words")
    with pytest.raises(SettingsError, match="cannot be run: Permission denied"):
        await make_switch(entry, no_tag, tmp_path).set(on=True, cause="a")


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 15
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


async def test_program_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path) -> None:
    child = tmp_path / "child"
    with pytest.raises(LinkTimeoutError, match=r"program call was ended: it took over 0\.5 s"):
        await run(tmp_path, f"sleep 600 & echo $! > {child}; wait", program_s=0.5)
    deadline = time.monotonic() + 15
    while is_there(wait_for(child)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_program_is_ended_with_the_agent_and_holds_up_nobody(tmp_path) -> None:
    own = tmp_path / "own"
    running = asyncio.create_task(run(tmp_path, f"echo $$ > {own}; sleep 600"))
    pid = await asyncio.to_thread(wait_for, own)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_there(pid)


KEY = 'gateway = "gw-test-0001"\noutputs = ["valve"]\n'


def key(folder: Path, text: str = KEY, mode: int = 0o600) -> Path:
    path = folder / "interlock.key"
    path.write_text(text)
    path.chmod(mode)
    return path


async def test_key_file_allows_what_it_names_and_is_read_each_time(tmp_path) -> None:
    path = key(tmp_path)
    lock = Interlock("gw-test-0001", path)
    assert await lock.find_refusal("valve") == ""
    assert await lock.find_refusal("pump") == f"locked: key file {path} does not name 'pump'"
    path.unlink()
    assert await lock.find_refusal("valve") == f"locked: key file {path} cannot be opened: No such file or directory"


async def test_without_a_key_file_everything_is_locked() -> None:
    assert await Interlock("gw-test-0001", None).find_refusal("valve") == (
        "locked: interlock_key_file is not set under [outputs]"
    )


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (KEY, 0o640, "has mode 0640: run chmod 600"),
        (KEY, 0o602, "has mode 0602: run chmod 600"),
        (KEY.replace("test", "else"), 0o600, "is for gateway 'gw-else-0001'"),
        ("", 0o600, "is no key file: Object missing required field `gateway`"),
        (KEY + "all = true\n", 0o600, "is no key file: Object contains unknown field `all`"),
        ("outputs = ", 0o600, "is no key file: "),
        ("x = " + "[" * 5000, 0o600, "is no key file: "),
    ],
    ids=["group reads", "others write", "another gateway", "empty", "unknown", "broken", "absurd"],
)
async def test_key_file_that_proves_nothing_locks(text, mode, reason, tmp_path) -> None:
    path = key(tmp_path, text, mode)
    refusal = await Interlock("gw-test-0001", path).find_refusal("valve")
    assert refusal.startswith(f"locked: key file {path} {reason}")


async def test_key_file_that_is_a_link_a_pipe_or_a_folder_locks(tmp_path) -> None:
    link, pipe, folder = tmp_path / "link", tmp_path / "pipe", tmp_path / "folder"
    folder.mkdir(mode=0o700)
    link.symlink_to(key(tmp_path))
    os.mkfifo(pipe, 0o600)
    assert "cannot be opened" in await Interlock("gw-test-0001", link).find_refusal("valve")
    assert "is no regular file" in await Interlock("gw-test-0001", pipe).find_refusal("valve")
    assert "is no regular file" in await Interlock("gw-test-0001", folder).find_refusal("valve")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a file to another user")
async def test_key_file_of_another_user_locks(tmp_path) -> None:
    path = key(tmp_path)
    os.chown(path, 65534, 65534)
    assert "belongs to another user" in await Interlock("gw-test-0001", path).find_refusal("valve")


async def test_key_file_that_is_no_text_locks(tmp_path) -> None:
    path = key(tmp_path)
    path.write_bytes(b"\xff\xfe")
    assert "is no key file" in await Interlock("gw-test-0001", path).find_refusal("valve")


def test_argument_that_no_program_can_be_given_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL character"):
        OutputEntry(name="caller", program="call", arguments=("a\0b",))
