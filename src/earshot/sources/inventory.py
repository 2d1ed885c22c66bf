"""What lies in a user's copy, by content: a stage that depends on several copies depends on their inventories.

DVC makes a stage of each source that `dataset.sources` names, with its path as the dependency; no stage can depend on a
list of paths.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from earshot.core.files import printable, sha256, write_csv
from earshot.core.progress import progress
from earshot.sources.source import walk_files

INVENTORY = Path("data/inventory")


def write_inventory(root: Path | None, target: Path) -> int:
    """List every file below `root` with its SHA-256 in `target`; no rows for None. Returns how many there are."""
    files = [] if root is None else list(walk_files(root))
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        digests = list(progress(pool.map(sha256, files), total=len(files), desc="inventory", unit="file"))
    rows = [
        {"path": printable(file.relative_to(root).as_posix()), "sha256": digest}
        for file, digest in zip(files, digests, strict=True)
        if root is not None
    ]
    write_csv(target, sorted(rows, key=lambda row: row["path"]), ["path", "sha256"])
    return len(rows)
