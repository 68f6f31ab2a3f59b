"""A dataset comes from the Hub: resumed where it stopped, checked against its manifest, `rope.json` written last."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from rope.console import progress_bar
from rope.dataset.build import FAULTS_NAME
from rope.dataset.layout import is_shard_name
from rope.dataset.manifest import MANIFEST_NAME, DatasetManifest, read_manifest
from rope.dataset.validate import Problem
from rope.errors import DatasetError, UsageError
from rope.files import atomic_path
from rope.share.croissant import CROISSANT_NAME
from rope.share.hub import check_repo_id, hub_bars, hub_errors
from rope.share.patience import patiently
from rope.share.verify import find_damage, in_one_line
from rope.workdir import WorkFolder, json_differences

__all__ = ["PullReport", "pull_dataset"]

_CLAIM_NAME: Final = ".pull.json"
"""Which repository an unfinished pull is of."""

_BESIDE: Final = ("README.md", FAULTS_NAME, CROISSANT_NAME)
"""What is fetched beside the shards and the manifest."""


@dataclass(frozen=True, slots=True)
class PullReport:
    """The outcome of a pull.

    Attributes:
        manifest: of the dataset.
        commit: of the repository, in hex.
        is_new: False if the dataset was there already, whole.
    """

    manifest: DatasetManifest
    commit: str
    is_new: bool


def pull_dataset(repo: str, out: Path, *, api: HfApi, revision: str | None = None, progress: bool = True) -> PullReport:
    """Download a dataset from the Hub into a new dataset directory, and check every shard; repeat the call to resume.

    Shards that are there are not fetched again; a partial file is continued. Until all are checked, the folder has no
    `rope.json`. A shard that is not what the manifest says is removed, so that the next call fetches it.

    Args:
        repo: the dataset repository, `ORG/NAME`.
        out: the folder to fill: empty or new, what a pull from this repository left there, or the same dataset.
        api: the Hub; see `rope.share.hub.open_hub`.
        revision: a branch, a tag or a commit; None for the newest of the main branch.
        progress: whether to draw bars on stderr.

    Raises:
        UsageError: a wrong name, or a folder with something else in it.
        DatasetError: the repository holds no finished dataset, or a shard is not what its manifest says.
        RopeError: the Hub refuses, or cannot be reached.
    """
    check_repo_id(repo)
    with hub_errors(repo, api.endpoint), tempfile.TemporaryDirectory(prefix="rope-") as scratch:
        commit = patiently(lambda: str(api.dataset_info(repo, revision=revision).sha), repo, shown=progress)
        fetch = partial(_fetch_manifest, repo, commit, api, Path(scratch))
        manifest, content = patiently(fetch, repo, shown=progress)
    if _is_whole(out, content, manifest, progress):
        _tidy(out)
        return PullReport(manifest, commit, is_new=False)
    # A manifest that is there is that of this dataset, whose shards are damaged.
    with _work(out, repo).claimed(is_own=(out / MANIFEST_NAME).is_file()):
        (out / MANIFEST_NAME).unlink(missing_ok=True)
        # A few patterns in place of the names: the Hub's library compares every file with every one.
        patterns = [*_BESIDE, *(f"{config}/*.parquet" for config in manifest.configs)]
        with hub_errors(repo, api.endpoint), hub_bars(progress):
            download = partial(
                api.snapshot_download,
                repo,
                repo_type="dataset",
                revision=commit,
                local_dir=out,
                allow_patterns=patterns,
            )
            patiently(download, repo, n_done=lambda: sum(1 for _ in out.rglob("*.parquet")), shown=progress)
        _drop_stale(out, manifest)
        _drop_damaged(out, _damage(out, manifest, progress), repo)
        _finish(out, content)
    return PullReport(manifest, commit, is_new=True)


def _fetch_manifest(repo: str, commit: str, api: HfApi, scratch: Path) -> tuple[DatasetManifest, bytes]:
    """The manifest of a commit, and its bytes."""
    try:
        path = api.hf_hub_download(repo, MANIFEST_NAME, repo_type="dataset", revision=commit, local_dir=scratch)
    except LocalEntryNotFoundError:  # the Hub could not be asked
        raise
    except EntryNotFoundError as error:
        raise DatasetError(
            f"{repo}: has no {MANIFEST_NAME} at {commit[:12]}, so it is not a dataset of this format, or its push "
            "did not finish; repeat the push"
        ) from error
    try:
        manifest = read_manifest(scratch)
    except DatasetError as error:
        raise DatasetError(str(error).replace(str(scratch), repo)) from error
    if wrong := sorted(name for name in manifest.shards if not is_shard_name(name)):
        raise DatasetError(f"{repo}/{MANIFEST_NAME}: {wrong[0]!r} is not a shard name; nothing was fetched")
    return manifest, Path(path).read_bytes()


def _is_whole(out: Path, content: bytes, manifest: DatasetManifest, progress: bool) -> bool:
    """Whether `out` holds the dataset and nothing of it is damaged."""
    path = out / MANIFEST_NAME
    if not path.is_file():
        return False
    if path.read_bytes() != content:
        raise UsageError(f"{out}: another dataset is there already; choose another folder, or delete it")
    return not _damage(out, manifest, progress)


def _work(out: Path, repo: str) -> WorkFolder:
    """The output while it is not finished; a pull of another commit resumes with the files that exist."""
    text = json.dumps({"repo": repo}) + "\n"
    return WorkFolder(out, _CLAIM_NAME, text, "an unfinished pull", json_differences(text))


def _damage(out: Path, manifest: DatasetManifest, progress: bool) -> list[Problem]:
    with progress_bar("checking", sum(shard.bytes for shard in manifest.shards.values()), shown=progress) as advance:
        return find_damage(out, manifest, advance)


def _drop_stale(out: Path, manifest: DatasetManifest) -> None:
    """Delete shards that are not in the manifest: of an earlier commit, or left in the repository by accident.

    The card finds shards by their names, so `datasets` would read them too.
    """
    for config in manifest.configs:
        for path in sorted((out / config).rglob("*.parquet")):
            name = path.relative_to(out).as_posix()
            if is_shard_name(name) and name not in manifest.shards:
                path.unlink()


def _drop_damaged(out: Path, problems: list[Problem], repo: str) -> None:
    if not problems:
        return
    for problem in problems:
        (out / problem.where).unlink(missing_ok=True)
    raise DatasetError(
        f"{out}: {in_one_line(problems)}; run the command again to fetch what is missing or was altered on the way; if "
        f"that does not help, the copy in {repo} is damaged, and has to be pushed again"
    )


def _finish(out: Path, content: bytes) -> None:
    with atomic_path(out / MANIFEST_NAME) as temporary:
        temporary.write_bytes(content)
    _tidy(out)


def _tidy(out: Path) -> None:
    """Remove what was kept to resume and what a killed pull left half-written; the claim goes last."""
    if (out / _CLAIM_NAME).is_file():
        shutil.rmtree(out / ".cache", ignore_errors=True)
        for path in out.glob(".*.part"):
            path.unlink()
        (out / _CLAIM_NAME).unlink()
