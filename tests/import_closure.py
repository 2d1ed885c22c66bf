"""Which files of this project a script really needs, read from its import statements."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "earshot"


def import_closure(script: Path) -> set[str]:
    """Paths, relative to the project, of every earshot module that `script` imports, directly or through others.

    Imports inside functions count: they run as well. Package initialisers count where they hold code.
    """
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        for module in imported(waiting.pop()) - found:
            found.add(module)
            waiting.append(module)
    return {path.relative_to(ROOT).as_posix() for path in found if not _only_docstring(path)}


def imported(path: Path) -> set[Path]:
    """The earshot modules, and their packages' initialisers, that the import statements of `path` name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.level:
                raise AssertionError(f"{path}: relative imports are not used in this project")
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != "earshot":
            continue
        for length in range(1, len(parts) + 1):
            inner = PACKAGE.joinpath(*parts[1:length])
            candidates = (inner / "__init__.py", inner.with_suffix(".py")) if length > 1 else (PACKAGE / "__init__.py",)
            files |= {candidate for candidate in candidates if candidate.is_file()}
    return files


def _only_docstring(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
