"""UrbanSound8K: 8,732 clips of ten urban sounds, at most 4 s, cut from 1,297 field recordings, in ten folds."""

from pathlib import Path

from earshot.clips.table import DatasetError, make_table
from earshot.sources.archive import Archive, obtain_archive
from earshot.sources.metadata import numbers, read_metadata
from earshot.sources.published import Copy, compare, find_copy, read_published
from earshot.sources.source import FilesOnDisk, Index, Source, Verification, match

NAME = "urbansound8k"
TITLE = "UrbanSound8K"
LICENCE = "CC BY-NC 3.0 (non-commercial)"
CITATION = (
    "J. Salamon, C. Jacoby and J. P. Bello, 'A Dataset and Taxonomy for Urban Sound Research', "
    "22nd ACM International Conference on Multimedia, 2014"
)
URL = "https://zenodo.org/records/1203745"
ARCHIVE = Archive(
    url="https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz?download=1",
    filename="UrbanSound8K.tar.gz",
    size_bytes=6_100_000_000,
    unpacked_bytes=7_150_000_000,
    md5="9aa69802bbf37fb986f71ec1483a196e",
)
PUBLISHED = "urbansound8k_sha256.csv.gz"
METADATA = "metadata/UrbanSound8K.csv"
COLUMNS = ("slice_file_name", "fsID", "fold", "class")  # start, end and salience are used where they are there


def locate(root: Path) -> Copy | None:
    """The copy at `root`, or in the directory that the archive unpacks to inside it; None where there is no table."""
    return find_copy((root, root / "UrbanSound8K"), METADATA, "fold*")


def index(root: Path, seed: int = 0) -> Index:
    """Read the metadata below `root`; paths are relative to `root`. The folds are the official ones, whatever `seed`.

    The recording of a clip is its Freesound sound (fsID), which the official folds were made by.
    """
    copy = _located(root)
    rows = read_metadata(copy.home / copy.metadata, COLUMNS, copy.metadata)
    rows = rows.rename(columns={"class": "label", "fsID": "recording", "start": "start_s", "end": "end_s"})
    for column in ("start_s", "end_s", "salience"):
        rows[column] = numbers(rows, column, copy.metadata)
    rows["fold"] = numbers(rows, "fold", copy.metadata, whole=True)
    rows["path"] = [
        copy.listed(root, f"fold{fold:.0f}/{name}")
        for fold, name in zip(rows["fold"], rows["slice_file_name"], strict=True)
    ]
    rows, missing, unlisted = match(rows, FilesOnDisk(root), copy.inside(root))
    return Index(make_table(rows), missing, unlisted)


def validate(root: Path) -> Verification:
    """Compare every clip and the metadata below `root` with the SHA-256 list of the published archive."""
    return compare(_located(root), read_published(PUBLISHED), "sha256", "SHA-256 of the published files")


def _located(root: Path) -> Copy:
    copy = locate(root)
    if copy is None:
        raise DatasetError(
            f"{root} has no {METADATA}: give the directory that holds metadata/ and audio/, or UrbanSound8K.csv beside "
            "fold1 to fold10, or set dataset.name=folder for your own sounds"
        )
    return copy


def obtain(target: Path, seed: int, downloads: Path) -> None:
    """Download, check and unpack the published archive (6 GB) into `target`. `seed` is not used."""
    obtain_archive(ARCHIVE, target, downloads, TITLE)


SOURCE = Source(NAME, TITLE, LICENCE, CITATION, URL, index, validate, obtain, freesound=True)
