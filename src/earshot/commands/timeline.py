"""`earshot timeline`: what was heard when in a recording."""

import argparse
import csv
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from earshot.commands.common import Subparsers, add_command, add_model, table
from earshot.commands.sources import STDIN, opened, without_decoders_lines
from earshot.core import params
from earshot.core.files import printable
from earshot.hearing.decode import AudioError, Note, stream_mono
from earshot.model.session import Model
from earshot.stream.config import TimelineParams
from earshot.stream.events import Event
from earshot.stream.timeline import Timeline

PARAMS = "params.yaml"

_DETAILS = """\
List the events of a recording of any length: class, beginning, end, confidence. Hours take no more
memory than seconds. What the model takes for none of its classes makes no event; sounds that are
much like a class still do, so raise --threshold where it names too much.

A damaged, joined or unfinished file is heard as far as it can be, and a note says what is missing:
after the table, on standard error with --csv and --audacity, and as a last line {"notes": [...]}
with --json. Where a file cannot be heard to its end, the events until there are listed all the
same, and the exit status is 1.

Thresholds are those of the section `timeline` of ./params.yaml where there is one, else the defaults."""

_EXAMPLES = """\
  earshot timeline night.flac
  earshot timeline --threshold 0.8 --min-duration 0.5 street.wav
  earshot timeline --json night.flac | jq 'select(.label == "siren")'    # as they are found
  earshot timeline --csv night.flac > night.csv
  earshot timeline --audacity night.flac > night.txt    # Audacity: File > Import > Labels"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand to `commands`."""
    parser = add_command(commands, "timeline", "list what was heard when in a recording", _DETAILS, _EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="a recording of any length; - for standard input")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line, in order of the events' ends")
    form.add_argument("--csv", action="store_true", help="CSV with a header: label, onset_s, offset_s, confidence")
    form.add_argument("--audacity", action="store_true", help="a label track for Audacity")
    parser.add_argument("--threshold", metavar="P", type=float, help="an event must reach this probability")
    parser.add_argument("--min-duration", metavar="S", type=float, help="drop events shorter than this, in seconds")
    parser.add_argument("--max-gap", metavar="S", type=float, help="join events of a class at most this far apart")
    parser.add_argument("--quiet", action="store_true", help="no progress (shown on a terminal only, on stderr)")
    add_model(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the events of one recording."""
    settings = _settings(arguments)
    stream = Timeline(Model(arguments.model), settings)
    name = printable(arguments.file)
    reading = Reading()
    events: list[Event] = []
    with without_decoders_lines():
        for event in listen(stream, arguments.file, reading, not arguments.quiet and sys.stderr.isatty()):
            events.append(event)
            if arguments.json:
                print(json.dumps(event.as_dict()), flush=True)
    if reading.error is None or reading.begun:
        _print_all(arguments, events, stream.heard_s, reading.notes)
    if reading.error is not None:
        error = reading.error
        raise type(error)(f"{name}: {error}", error.reason) from error
    return 0


@dataclass
class Reading:
    """How a recording was read: whether at all, the notes on it, and what ended it early."""

    begun: bool = False
    notes: tuple[Note, ...] = ()
    error: AudioError | None = None


def _print_all(arguments: argparse.Namespace, events: list[Event], heard_s: float, notes: tuple[Note, ...]) -> None:
    """What was found, in the form that was asked for; JSON lines were printed as they came."""
    found = sorted(events, key=lambda event: (event.onset_s, event.offset_s, event.label))
    where = sys.stderr if arguments.csv or arguments.audacity else sys.stdout
    if arguments.json:
        if notes:
            print(json.dumps({"notes": [note.as_dict() for note in notes]}), flush=True)
        return
    if arguments.csv:
        rows = csv.DictWriter(sys.stdout, ["label", "onset_s", "offset_s", "confidence"], lineterminator="\n")
        rows.writeheader()
        rows.writerows(event.as_dict() for event in found)
    elif arguments.audacity:
        for event in found:
            print(f"{event.onset_s:.6f}\t{event.offset_s:.6f}\t{event.label} {event.confidence:.2f}")
    else:
        print(for_people(found, heard_s))
    for note in notes:
        print(f"note: {note.message}", file=where)


def listen(stream: Timeline, file: str, reading: Reading, show_progress: bool) -> Iterator[Event]:
    """The events of `file`, and into `reading` how it went; a bar shows how far. What ends it early withholds none."""
    with (
        noted_interrupt() as interrupted,
        _sized(file) as (source, size),
        tqdm(total=size, unit="B", unit_scale=True, disable=not show_progress, leave=False) as bar,
    ):
        sound = stream_mono(source, stream.sample_rate_hz)
        try:
            for block in sound:
                reading.begun = True
                if interrupted.is_set():
                    raise KeyboardInterrupt
                yield from stream.push(block)
                bar.set_description(f"{clock(stream.heard_s)} heard", refresh=size is None)
                if size is not None and not isinstance(source, str):
                    bar.update(max(0, source.tell() - bar.n))
        except AudioError as error:
            reading.error = error
        yield from stream.finish()
        reading.notes = sound.notes


@contextmanager
def _sized(file: str) -> Iterator[tuple[str | BinaryIO, int | None]]:
    """What to read, and how many bytes it has; None where that is not known, as for a pipe."""
    if file != STDIN and Path(file).is_file() and os.access(file, os.R_OK):
        with open(file, "rb") as opened_file:
            yield opened_file, os.fstat(opened_file.fileno()).st_size
    else:
        yield opened(file), None


@contextmanager
def noted_interrupt() -> Iterator[threading.Event]:
    """Set an event on Ctrl-C instead of raising at once.

    The decoder calls back into Python to read the file, and an exception raised inside such a call is dropped.
    """
    noted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: noted.set())
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def for_people(events: list[Event], duration_s: float) -> str:
    """A table, and what it covers."""
    seconds = sum(event.offset_s - event.onset_s for event in events)
    end = f"{len(events)} event{'' if len(events) == 1 else 's'}, {seconds:.1f} s, in {clock(duration_s)}"
    if not events:
        return end
    rows = [("onset", "offset", "class", "confidence")]
    rows += [(clock(e.onset_s), clock(e.offset_s), e.label, f"{e.confidence:.3f}") for e in events]
    return f"{table(rows, right=(0, 1, 3))}\n\n{end}"


def clock(time_s: float) -> str:
    """Hours, minutes and seconds, the hours only where there are any: 1:02:03.45."""
    hundredths = round(time_s * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{minutes:02}:{rest // 100:02}.{rest % 100:02}"
    return f"{hours}:{seconds}" if hours else seconds


def _settings(arguments: argparse.Namespace) -> TimelineParams:
    settings = params.load("timeline", TimelineParams, PARAMS) if Path(PARAMS).is_file() else TimelineParams()
    asked = {"min_duration_s": arguments.min_duration, "max_gap_s": arguments.max_gap}
    if arguments.threshold is not None:
        # Where the threshold is lowered below the one that ends events, that one follows.
        asked |= {
            "on_threshold": arguments.threshold,
            "off_threshold": min(settings.off_threshold, arguments.threshold),
        }
    return settings.changed(**{key: value for key, value in asked.items() if value is not None})
