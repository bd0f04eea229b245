"""The files of the ring: ``NET.STA.LOC.CHA/YYYY.DDD.HH.mseed``, miniSEED 3, an hour each. Blocking.

A record is a packet, appended when it comes. What a power cut leaves torn at a file's end is cut off when the file is
opened again; what else is damaged is passed over when it is read. Old files go by their number and by their octets, not
by the clock: one that jumps to the year 2099 and back must not empty the ring.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from seismic import miniseed
from seismic.errors import SeismicError
from seismic.packet import Packet
from seismic.sampleclock import NS

HOUR_NS = 3600 * NS
SUFFIX = ".mseed"
SYNC_S = 10.0
"""How often what was written is forced to the disk: a power cut costs so much of the ring, not more of the flash."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Hours:
    """Files in ``folder``, at most ``keep_octets`` in all and for each stream the hours of ``keep_days(stream)`` days.

    ``octets`` is what they take, ``lost`` how many packets found no room, ``error`` why, empty while all is well.
    """

    def __init__(
        self,
        folder: Path,
        keep_octets: int,
        keep_days: Callable[[str], int],
        monotonic: Callable[[], float] = time.monotonic,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self._folder = folder
        self._keep_octets = keep_octets
        self._keep_days = keep_days
        self._monotonic = monotonic
        self._write = write
        self._open: dict[str, tuple[Path, int]] = {}
        self._synced_s = monotonic()
        self._sizes = {file: file.stat().st_size for file in sorted(folder.glob(f"*/*{SUFFIX}"))}
        self.octets = sum(self._sizes.values())
        self.lost = 0
        self.error = ""

    def write(self, packets: Sequence[Packet]) -> None:
        """Append packets. What cannot be written is counted in ``lost``; a later call tries again."""
        batches: dict[tuple[str, Path], list[Packet]] = {}
        for packet in packets:
            batches.setdefault((packet.stream, self._file(packet.stream, begin_ns(packet))), []).append(packet)
        self.error = ""
        for (stream, file), batch in batches.items():
            try:
                self._append(stream, file, b"".join(record for packet in batch for record in miniseed.records(packet)))
            except (OSError, SeismicError) as error:
                self.lost += len(batch)
                self.error = str(error)
        if self._monotonic() - self._synced_s >= SYNC_S:
            self.sync()

    def read(self, stream: str, start_ns: int, end_ns: int) -> list[Packet]:
        """Read the packets of a stream that have samples in [start, end), in the order of their starts."""
        packets = [packet for file in self._files(stream, start_ns, end_ns) for packet in _read(file, start_ns, end_ns)]
        return sorted(packets, key=begin_ns)

    def sync(self) -> None:
        """Force what was written to the disk. What that fails with is in ``error``."""
        self._synced_s = self._monotonic()
        for _, descriptor in self._open.values():
            try:
                os.fsync(descriptor)
            except OSError as error:
                self.error = str(error)

    def close(self) -> None:
        """Sync and close the files. May be called twice."""
        for stream in list(self._open):
            try:
                self._shut(stream)
            except OSError as error:
                self.error = str(error)

    def _file(self, stream: str, at_ns: int) -> Path:
        hour = time.gmtime(at_ns // HOUR_NS * 3600)
        return self._folder / stream / f"{hour.tm_year:04}.{hour.tm_yday:03}.{hour.tm_hour:02}{SUFFIX}"

    def _files(self, stream: str, start_ns: int, end_ns: int) -> Iterator[Path]:
        """Find the files of a window. A packet stands in the hour that it begins in: the hour before counts too."""
        first = self._file(stream, start_ns - HOUR_NS).name
        last = self._file(stream, max(end_ns - 1, start_ns)).name
        yield from (file for file in sorted(self._sizes) if file.parent.name == stream and first <= file.name <= last)

    def _append(self, stream: str, file: Path, octets: bytes) -> None:
        descriptor = self._descriptor(stream, file)
        self._make_room(file, len(octets))
        while True:
            try:
                self._put(descriptor, octets, self._sizes[file])
            except OSError as error:
                if error.errno not in NO_ROOM or not self._drop_oldest(file):
                    raise
            else:
                self._grow(file, len(octets))
                return

    def _put(self, descriptor: int, octets: bytes, size: int) -> None:
        """Write all of it or, if that fails, nothing."""
        written = 0
        try:
            while written < len(octets):
                written += self._write(descriptor, octets[written:])
        except OSError:
            os.ftruncate(descriptor, size)
            raise

    def _descriptor(self, stream: str, file: Path) -> int:
        current = self._open.get(stream)
        if current is not None and current[0] == file:
            return current[1]
        if current is not None:
            self._shut(stream)
        file.parent.mkdir(parents=True, exist_ok=True)
        if file in self._sizes:
            self._grow(file, mend(file) - self._sizes[file])
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._open[stream] = file, descriptor
        self._sizes.setdefault(file, 0)
        self._drop_by_days(stream, file)
        return descriptor

    def _shut(self, stream: str) -> None:
        _, descriptor = self._open.pop(stream)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _drop_by_days(self, stream: str, current: Path) -> None:
        files = sorted(file for file in self._sizes if file.parent.name == stream)
        for file in files[: max(0, len(files) - 24 * self._keep_days(stream))]:
            if file != current:
                self._drop(file)

    def _make_room(self, current: Path, octets: int) -> None:
        while self.octets + octets > self._keep_octets:
            if not self._drop_oldest(current):
                raise OSError(errno.EDQUOT, f"the ring may have {self._keep_octets} octets, which do not take an hour")

    def _drop_oldest(self, current: Path) -> bool:
        in_use = {file for file, _ in self._open.values()} | {current}
        oldest = min((file for file in self._sizes if file not in in_use), key=lambda file: file.name, default=None)
        if oldest is not None:
            self._drop(oldest)
        return oldest is not None

    def _drop(self, file: Path) -> None:
        for stream, (path, _) in list(self._open.items()):
            if path == file:
                self._shut(stream)
        file.unlink(missing_ok=True)
        self.octets -= self._sizes.pop(file)

    def _grow(self, file: Path, octets: int) -> None:
        self._sizes[file] += octets
        self.octets += octets


def begin_ns(packet: Packet) -> int:
    """Tell when a packet begins; of one that nobody knew the UTC of, the time since its boot."""
    return packet.mono_ns if packet.start_ns is None else packet.start_ns


def mend(file: Path) -> int:
    """Cut off what stands behind the last sound record of a file; return the octets that are left."""
    octets = file.read_bytes()
    whole = 0
    for span in reversed(list(miniseed.spans(octets))):
        if miniseed.is_sound(octets[span.at : span.end]):
            whole = span.end
            break
    if whole < len(octets):
        os.truncate(file, whole)
    return whole


def _read(file: Path, start_ns: int, end_ns: int) -> Iterator[Packet]:
    if not file.stat().st_size:
        return
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        for span in miniseed.spans(octets):
            if span.start_ns < end_ns and span.end_ns > start_ns:
                record = octets[span.at : span.end]
                if miniseed.is_sound(record):
                    yield from miniseed.read(record)
