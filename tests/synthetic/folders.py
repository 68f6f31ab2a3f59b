"""Whole folders compared by their bytes."""

from pathlib import Path

from rope.files import sha256_of


def hashes(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file."""
    return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}
