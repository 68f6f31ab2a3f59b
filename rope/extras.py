"""The packages that only some parts need: one sentence says which is not installed, and how to get it.

`rope.console.run_app` ends with that sentence whatever a command imports; `needed_by` gives it to those who call from
Python, and says which part wants the package.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

from rope.errors import MissingExtraError

__all__ = ["needed_by", "require", "why_missing"]

_INSTALL: Final = {
    "accelerate": "rope-bench[cope]",
    "aiohttp": "rope-bench[fetch]",
    "av": "rope-bench[video]",
    "cn_clip": "cn_clip",
    "decord": "rope-bench[decord]",
    "faiss": "rope-bench[faiss]",
    "jsonschema": "rope-bench[leaderboard]",
    "lightning": "lightning",
    "matplotlib": "rope-bench[figures]",
    "mteb": "rope-bench[mteb]",
    "numba": "rope-bench[fast]",
    "onnx": "rope-bench[onnx]",
    "onnxruntime": "rope-bench[onnxruntime]",
    "onnxscript": "rope-bench[onnx]",
    "open_clip": "rope-bench[baselines]",
    "pandas": "pandas",
    "pillow_heif": "rope-bench[heic]",
    "py3langid": "rope-bench[language]",
    "ray": "rope-bench[ray]",
    "sentence_transformers": "rope-bench[baselines]",
    "sklearn": "rope-bench[figures]",
    "torch": "rope-bench[torch]",
    "torchcodec": "rope-bench[torchcodec]",
    "torchvision": "rope-bench[baselines]",
    "transformers": "rope-bench[cope]",
    "yaml": "rope-bench[leaderboard]",
}
"""Package, as it is imported -> what to give to pip."""


@contextmanager
def needed_by(what: str, extra: str | None = None) -> Iterator[None]:
    """Import packages inside the block that may not be installed.

    Args:
        what: the part that needs them, the subject of the sentence: `cope train`.
        extra: the extra that brings them all; None for the one that brings the first that is missing.

    >>> with needed_by("cope train", "cope"):
    ...     raise ModuleNotFoundError("No module named 'torch'", name="torch")
    Traceback (most recent call last):
    rope.errors.MissingExtraError: cope train needs torch, which is not installed: pip install 'rope-bench[cope]'

    Raises:
        MissingExtraError: one is not installed, or does not load.
    """
    try:
        yield
    except ImportError as error:
        sentence = why_missing(error, what, extra)
        if sentence is None:
            raise
        raise MissingExtraError(sentence) from error


def require(package: str, what: str, extra: str | None = None, instead: str = "") -> None:
    """Check that a package is installed, without importing it.

    Args:
        package: as it is imported.
        what: see `needed_by`.
        extra: see `needed_by`.
        instead: how to do without it, at the end of the sentence.

    Raises:
        MissingExtraError: it is not.
    """
    if find_spec(package) is None:
        raise MissingExtraError(f"{what} needs {package}, which is not installed: {_pip(package, extra)}{instead}")


def why_missing(error: ImportError, what: str, extra: str | None = None) -> str | None:
    """The sentence for an import that failed; None where it is not a package that anybody could install.

    >>> why_missing(ModuleNotFoundError("No module named 'rope.typo'", name="rope.typo"), "rope build")
    """
    package = (error.name or "").partition(".")[0]
    if package not in _INSTALL and (extra is None or package in ("", "rope", "baselines", "cope", "leaderboard")):
        return None
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        return f"{what} needs {package}, which is not installed: {_pip(package, extra)}"
    reason = next(iter(str(error).splitlines()), "")
    return (
        f"{what} needs {package}, which does not load here ({reason}): {_pip(package, extra)} may bring one that does"
    )


def _pip(package: str, extra: str | None) -> str:
    name = f"rope-bench[{extra}]" if extra is not None and package in _INSTALL else _INSTALL.get(package, package)
    return f"pip install '{name}'" if "[" in name else f"pip install {name}"  # a shell would look for files
