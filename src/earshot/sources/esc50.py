"""ESC-50: 2,000 clips of 5 s, fifty classes of 40, in five folds.

The archive is GitHub's packing of the repository. It carries no stable checksum (three different ones have been
written down over the years for the same contents), so the files in it are checked one by one instead.
"""

from pathlib import Path

from earshot.clips.table import DatasetError, make_table
from earshot.sources.archive import Archive, obtain_archive
from earshot.sources.metadata import numbers, read_metadata
from earshot.sources.published import Copy, compare, find_copy, read_published
from earshot.sources.source import FilesOnDisk, Index, Source, Verification, match

NAME = "esc50"
TITLE = "ESC-50"
LICENCE = "CC BY-NC 3.0 (non-commercial)"
CITATION = (
    "K. J. Piczak, 'ESC: Dataset for Environmental Sound Classification', "
    "23rd ACM International Conference on Multimedia, 2015, doi:10.1145/2733373.2806390"
)
URL = "https://github.com/karolpiczak/ESC-50"
ARCHIVE = Archive(
    url="https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip",
    filename="ESC-50-master.zip",
    size_bytes=650_000_000,
    unpacked_bytes=890_000_000,
    md5=None,
)
PUBLISHED = "esc50_md5.csv.gz"  # version 2.0.0, as indexed by soundata 0.1.3
METADATA = "meta/esc50.csv"
COLUMNS = ("filename", "fold", "category", "src_file")  # and esc10, for ESC-10


def locate(root: Path) -> Copy | None:
    """The copy at `root`, or in the directory that the archive unpacks to inside it; None where there is no table."""
    return find_copy((root, root / "ESC-50-master", root / "ESC-50"), METADATA, "[1-5]-*-[A-Z]-*.*")


def index(root: Path, seed: int = 0, ten: bool = False) -> Index:
    """Read the metadata below `root`; paths are relative to `root`. The folds are the official ones, whatever `seed`.

    The recording of a clip is its Freesound sound (src_file). `ten` keeps the rows of ESC-10 only.
    """
    copy = _located(root)
    rows = read_metadata(copy.home / copy.metadata, (*COLUMNS, "esc10") if ten else COLUMNS, copy.metadata)
    rows["path"] = [copy.listed(root, name) for name in rows["filename"]]
    rows["fold"] = numbers(rows, "fold", copy.metadata, whole=True)
    rows = rows.rename(columns={"category": "label", "src_file": "recording"})
    rows, missing, unlisted = match(rows, FilesOnDisk(root), copy.inside(root))
    if ten:
        chosen = rows["esc10"].str.lower() == "true"
        if not chosen.any():
            raise DatasetError(f"{copy.metadata} marks no row as esc10; set dataset.name=esc50 to use all of them")
        missing = tuple(path for path in missing if path in set(rows["path"][chosen]))
        rows = rows[chosen]
    return Index(make_table(rows), missing, unlisted)


def validate(root: Path, ten: bool = False) -> Verification:
    """Compare the metadata and every clip below `root` (of ESC-10 only, if `ten`) with the published MD5 list."""
    copy = _located(root)
    only = None
    if ten:
        rows = read_metadata(copy.home / copy.metadata, (*COLUMNS, "esc10"), copy.metadata)
        only = {METADATA, *("audio/" + name for name in rows["filename"][rows["esc10"].str.lower() == "true"])}
    return compare(copy, read_published(PUBLISHED), "md5", "MD5 of the published files", only)


def _located(root: Path) -> Copy:
    copy = locate(root)
    if copy is None:
        raise DatasetError(
            f"{root} has no {METADATA}: give the directory that holds meta/ and audio/, or esc50.csv beside the clips, "
            "or set dataset.name=folder for your own sounds"
        )
    return copy


def obtain(target: Path, seed: int, downloads: Path) -> None:
    """Download and unpack the repository's archive (0.65 GB) into `target`. `seed` is not used."""
    obtain_archive(ARCHIVE, target, downloads, TITLE)


SOURCE = Source(NAME, TITLE, LICENCE, CITATION, URL, index, validate, obtain, freesound=True)
