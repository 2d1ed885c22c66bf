"""`earshot classify`: one answer for each file."""

import argparse
import json
import sys

from earshot.commands.common import Subparsers, add_command, add_model
from earshot.commands.sources import opened, without_decoders_lines
from earshot.core.files import printable
from earshot.core.labels import UNKNOWN
from earshot.hearing.decode import AudioError
from earshot.model.session import Model
from earshot.stream.classify import Classification, classify

_DETAILS = """\
Say which of the model's classes each file holds, with calibrated confidence: of the answers
given with 0.8, about 80 in 100 are right on sounds like those of the validation set.

A sound that seems to be none of them is called unknown: `known`, how surely it is one of them, is
then below the threshold that `earshot model` shows.

A sound of at most 4 s (the model's window) is fitted to it as in training. A longer one is heard in
overlapping windows whose probabilities are averaged; what happens when, `earshot timeline` tells.
WAV, FLAC, MP3, Ogg, AIFF, CAF, AAC, m4a, MP4, WebM, WMA, AMR and what else libsndfile and FFmpeg
decode will do, judged by content and not by name; `-` is standard input.

A damaged, joined or unfinished file is heard as far as it can be, and a note says what is missing.
A file that cannot be read is reported and does not stop the others; the exit status is then 1."""

_EXAMPLES = """\
  earshot classify dog.wav
  earshot classify --top 5 recordings/*.flac
  arecord -d 4 -f cd | earshot classify -
  earshot classify --json recordings/*.wav | jq -r 'select(.confidence < 0.6) | .file'"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand to `commands`."""
    parser = add_command(commands, "classify", "say what each sound file holds", _DETAILS, _EXAMPLES)
    parser.add_argument("files", metavar="FILE", nargs="+", help="sound files of any length; - for standard input")
    parser.add_argument("--top", metavar="N", type=int, default=3, help="classes to show for each file (default: 3)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each file, all classes in it")
    add_model(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer for every file; 1 if any could not be read."""
    model = Model(arguments.model)
    names = [printable(file) for file in arguments.files]
    width = max(map(len, names))
    failed = 0
    for source, file in zip(arguments.files, names, strict=True):
        try:
            with without_decoders_lines():
                answer = classify(model, opened(source))
        except AudioError as error:
            failed += 1
            if arguments.json:
                print(json.dumps({"file": file, "error": str(error), "reason": error.reason}), flush=True)
            print(f"error: {file}: {error}", file=sys.stderr, flush=True)
            continue
        if arguments.json:
            print(json.dumps({"file": file, **answer.as_dict()}), flush=True)
        else:
            print(line(file.ljust(width), answer, arguments.top), flush=True)
            for note in answer.notes:
                print(f"{' ' * width}  note: {note.message}", flush=True)
    if failed and len(arguments.files) > 1:
        print(f"error: {failed} of {len(arguments.files)} files could not be read", file=sys.stderr)
    return 1 if failed else 0


def line(file: str, answer: Classification, top: int) -> str:
    """One answer for people; the classes that an unknown sound is most like follow all the same."""
    ranked = list(answer.probabilities.items())[: max(1, top)]
    width = max(len(label) for label in answer.probabilities)
    classes = "  ".join(f"{label.ljust(width)} {probability:.3f}" for label, probability in ranked)
    remarks = [f"{answer.duration_s:.2f} s"]
    if answer.silent:
        remarks.append("silent: the answer means nothing")
    elif answer.windowed:
        remarks.append(f"mean of {answer.windows} windows")
    if answer.predicted_class == UNKNOWN:
        classes = f"{UNKNOWN} (known {answer.known:.3f}), most like {classes}"
    return f"{file}  {classes}  ({', '.join(remarks)})"
