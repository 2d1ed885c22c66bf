"""What `mkdocs build` adds to the pages: the pipeline's pictures, from where the pipeline writes them."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PLOTS = Path(__file__).resolve().parents[1] / "metrics" / "plots"


def on_files(files: Files, config: Any) -> Files:
    """Add metrics/plots/*.png as plots/."""
    for path in sorted(PLOTS.glob("*.png")):
        files.append(File.generated(config, f"plots/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead to them: the pages name the files' places in the repository, where they can be read as well."""
    return markdown.replace("](../../metrics/plots/", "](../plots/")
