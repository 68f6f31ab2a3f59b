"""The import name `rope` also belongs to a Python refactoring library; say so before anything else goes wrong."""

from importlib.metadata import PackageNotFoundError, distribution

__all__ = ["check"]


def check() -> None:
    """Raise when the refactoring library is installed too: each overwrites files of the other.

    Raises:
        ImportError: a distribution named `rope` is installed in this environment.
    """
    try:
        other = distribution("rope")
    except PackageNotFoundError:
        return
    raise ImportError(
        f"rope-bench and the refactoring library rope {other.version} are installed in one environment and both own "
        "the package `rope`; run: pip uninstall rope && pip install --force-reinstall --no-deps rope-bench, or give "
        "rope-bench its own environment"
    )
