"""``fengsui-edge quake``: what a recording of strong motion tells, as a station would measure it."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from edge.errors import EdgeError
from edge.tools.terminal import print_json
from seismic.errors import SeismicError
from seismic.measuring import measure
from seismic.recording import Recording, join, read_recording
from seismic.settings import AnalyserSettings, TriggerSettings

EXAMPLES = """\
  fengsui-edge quake ridgecrest-2019-CI.CCC.csv
  fengsui-edge quake AKT0139608110312.EW AKT0139608110312.NS AKT0139608110312.UD
  fengsui-edge quake event.mseed --gain 213900
  fengsui-edge quake geophone.mseed --gain 2.5168e9 --velocity"""

STATUS = "measured; 1 a file cannot be read"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="miniSEED, K-NET ASCII, or CSV with a header of comments; several that begin together are one station",
    )
    parser.add_argument("--gain", type=float, metavar="COUNTS", help="counts of miniSEED per m/s2, or per m/s")
    parser.add_argument("--velocity", action="store_true", help="miniSEED is of a geophone: differentiate it")
    floor_gal = TriggerSettings().floor_gal
    parser.add_argument(
        "--floor-gal", type=float, default=floor_gal, metavar="GAL", help=f"floor of the trigger (default {floor_gal})"
    )


def run(options: argparse.Namespace) -> int:
    """Print one line of JSON. Returns 0; raises EdgeError if there is nothing to measure."""
    try:
        recording = join([_read(path, options) for path in options.files])
        settings = msgspec.convert({"trigger": {"floor_gal": options.floor_gal}}, AnalyserSettings)
        print_json(measure(recording, settings)._asdict())
    except SeismicError as error:
        raise EdgeError(str(error), hint=error.hint) from error
    except msgspec.ValidationError as error:
        raise EdgeError(f"--floor-gal {options.floor_gal:g}: {error}", hint="0.4 is usual") from error
    return 0


def _read(path: Path, options: argparse.Namespace) -> Recording:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", hint="name a file of a recording") from error
    return read_recording(path.name, data, options.gain, "velocity" if options.velocity else "acceleration")
