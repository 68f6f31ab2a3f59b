"""A dataset directory goes to the Hub: checked first, private unless somebody vouches for more, `rope.json` last.

A push is a row of commits. While it runs, the repository has no `rope.json`, so a push that was killed is seen to be
unfinished, and a push that starts again sends only what is not there.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from rope.console import progress_bar
from rope.dataset.build import FAULTS_NAME
from rope.dataset.layout import is_shard_name
from rope.dataset.manifest import MANIFEST_NAME, DatasetManifest, read_manifest
from rope.errors import DatasetError, UsageError
from rope.files import sha256_of
from rope.share.croissant import CROISSANT_NAME, write_croissant
from rope.share.hashes import KeptHashes
from rope.share.hub import check_repo_id, hub_bars, hub_errors
from rope.share.patience import patiently
from rope.share.verify import find_damage, in_one_line

__all__ = ["Commit", "PushReport", "plan_push", "push_dataset"]

_CARD_NAME: Final = "README.md"
_OUR_NAMES: Final = (_CARD_NAME, FAULTS_NAME, CROISSANT_NAME, MANIFEST_NAME)
_NEUTRAL_NAMES: Final = (".gitattributes", _CARD_NAME, "LICENSE", "LICENSE.md", "LICENSE.txt")
"""What the Hub itself puts into a new repository."""

_COMMIT_BYTES: Final = 4 << 30
_COMMIT_FILES: Final = 64
"""A commit takes either, whichever comes first; the Hub limits commits an hour, and bytes that are not in LFS."""

_FOLDER_FILES: Final = 10_000
"""Files of a folder that the Hub takes."""

_HASHES_NAME: Final = ".push.jsonl"
"""Hashes that an unfinished push has made."""

_WHY_NOT_PUBLIC: Final = (
    "everybody would see the images and texts, which have their own licences; if you may publish them, say so with "
    "--i-have-the-right"
)


@dataclass(frozen=True, slots=True)
class Commit:
    """One step of a push: files of the dataset to add, and paths of the repository to delete."""

    add: tuple[str, ...]
    delete: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PushReport:
    """The outcome of a push.

    Attributes:
        url: of the repository.
        private: whether only those with access see it.
        n_sent: files that were sent now.
        n_kept: files that were there.
        n_deleted: shards of an earlier dataset that were deleted.
    """

    url: str
    private: bool
    n_sent: int
    n_kept: int
    n_deleted: int


def push_dataset(
    directory: Path,
    repo: str,
    *,
    api: HfApi,
    public: bool = False,
    i_have_the_right: bool = False,
    progress: bool = True,
) -> PushReport:
    """Check a dataset directory, describe it in Croissant, and upload it; repeat the call to resume.

    Sent are the shards of the manifest, the card, the list of faults, `croissant.json` and `rope.json`; nothing else
    that lies in the folder. Other files of the repository stay, except for shards of an earlier dataset.

    Args:
        directory: a finished dataset directory with its images inside.
        repo: the dataset repository, `ORG/NAME`; made if it does not exist.
        api: the Hub, with a token that may write; see `rope.share.hub.open_hub`.
        public: make a new repository that everybody can see.
        i_have_the_right: the caller may publish the images and texts; needed for a public repository, new or not.
        progress: whether to draw bars on stderr.

    Raises:
        UsageError: a wrong name, a public repository without the right, or images that are not inside.
        DatasetError: files are missing or altered, or the repository holds something else.
        RopeError: the Hub refuses, or cannot be reached.
    """
    check_repo_id(repo)
    if public and not i_have_the_right:
        raise UsageError(f"{repo}: {_WHY_NOT_PUBLIC}, or push without --public")
    manifest = read_manifest(directory)
    if manifest.media == "reference":
        raise UsageError(
            f"{directory}: its images are not inside but paths of files on this machine, which mean nothing elsewhere; "
            "build it with --media embed to share it"
        )
    _check_folders(directory, manifest)
    with hub_errors(repo, api.endpoint):
        is_private = patiently(lambda: _is_private(api, repo), repo, shown=progress)
    if is_private is not None:
        _check_visibility(repo, is_private, public, i_have_the_right)
    hashes = KeptHashes(directory / _HASHES_NAME)
    _check_files(directory, manifest, hashes, progress)
    write_croissant(directory)
    with hub_errors(repo, api.endpoint), hub_bars(progress):
        if is_private is None:
            is_private = patiently(lambda: _create(api, repo, private=not public), repo, shown=progress)
            _check_visibility(repo, is_private, public, i_have_the_right)  # of what was made, not of what was asked
        upload = _Upload(directory, manifest, repo, api)
        patiently(upload.go_on, repo, n_done=lambda: upload.n_commits, shown=progress)
    hashes.drop()
    return upload.report(is_private)


def _create(api: HfApi, repo: str, *, private: bool) -> bool:
    """Make a repository, unless a call whose answer was lost has made it; returns whether it is private."""
    api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
    return _is_private(api, repo) is True


def _is_private(api: HfApi, repo: str) -> bool | None:
    """Whether a repository is private; None if there is none."""
    try:
        return bool(api.dataset_info(repo).private)
    except RepositoryNotFoundError as error:
        if error.response.status_code != 404:  # with an invalid token, the Hub says 401
            raise
        return None


def _check_visibility(repo: str, is_private: bool, public: bool, i_have_the_right: bool) -> None:
    if not is_private and not i_have_the_right:
        raise UsageError(f"{repo} is public: {_WHY_NOT_PUBLIC}, or push to a private one")
    if is_private and public:
        raise UsageError(
            f"{repo} is private, and a push does not change that; leave out --public, or open the repository in its "
            "settings on the Hub first"
        )


def _check_files(directory: Path, manifest: DatasetManifest, hashes: KeptHashes, progress: bool) -> None:
    if not (directory / _CARD_NAME).is_file():
        raise DatasetError(f"{directory}: has no {_CARD_NAME}, the card; build the dataset again")
    with progress_bar("checking", sum(shard.bytes for shard in manifest.shards.values()), shown=progress) as advance:
        problems = find_damage(directory, manifest, advance, hashes.sha256_of)
    if problems:
        raise DatasetError(f"{directory}: nothing was sent, because {in_one_line(problems)}; build the dataset again")


def _check_folders(directory: Path, manifest: DatasetManifest) -> None:
    """Raise if a folder has more files than the Hub takes."""
    counts = Counter(name.rpartition("/")[0] for name in manifest.shards)
    for folder, n_files in counts.items():
        if n_files > _FOLDER_FILES:
            raise UsageError(
                f"{directory / folder}: holds {n_files:,} shards, and the Hub takes at most {_FOLDER_FILES:,} files in "
                "a folder; build the dataset again, which lays out so many shards in their own folders"
            )


def plan_push(sizes: Mapping[str, int], there: Collection[str], same: Collection[str]) -> list[Commit]:
    """The commits that make a repository hold a dataset; none if it does.

    Shards go in the order of their names, then in one commit all that describes them. Where shards change under a
    `rope.json`, the first commit takes it away.

    >>> plan_push({"README.md": 1, "pages/train-00000-of-00001.parquet": 9, "rope.json": 1}, [".gitattributes"], [])
    [Commit(add=('pages/train-00000-of-00001.parquet',), delete=()), Commit(add=('README.md', 'rope.json'), delete=())]

    Args:
        sizes: path of each file of the dataset -> its bytes.
        there: paths of the repository.
        same: paths of the repository whose content is that of the dataset.
    """
    shards = sorted(name for name in sizes if name not in _OUR_NAMES and name not in same)
    batches = _batches(shards, sizes)
    reopened = (MANIFEST_NAME,) if batches and MANIFEST_NAME in there else ()
    stale = sorted(name for name in there if name not in sizes and (is_shard_name(name) or name in _OUR_NAMES))
    last = tuple(name for name in _OUR_NAMES if name in sizes and (name not in same or name in reopened))
    if last or stale:
        batches.append(last)
    return [
        Commit(
            add=batch,
            delete=(reopened if i == 0 else ()) + (tuple(stale) if i == len(batches) - 1 else ()),
        )
        for i, batch in enumerate(batches)
    ]


def _batches(names: list[str], sizes: Mapping[str, int]) -> list[tuple[str, ...]]:
    batches: list[list[str]] = []
    n_bytes = 0
    for name in names:
        if not batches or n_bytes + sizes[name] > _COMMIT_BYTES or len(batches[-1]) == _COMMIT_FILES:
            batches.append([])
            n_bytes = 0
        batches[-1].append(name)
        n_bytes += sizes[name]
    return [tuple(batch) for batch in batches]


class _Upload:
    """The commits of one push; goes on with what the repository does not have yet, however often it is called."""

    def __init__(self, directory: Path, manifest: DatasetManifest, repo: str, api: HfApi) -> None:
        self._directory, self._manifest, self._repo, self._api = directory, manifest, repo, api
        self._names = [*manifest.shards, *(name for name in _OUR_NAMES if (directory / name).is_file())]
        self._sent: set[str] = set()
        self._deleted: set[str] = set()
        self.n_commits = 0

    def go_on(self) -> None:
        """Compare the repository with the dataset, and make the commits that are missing."""
        tree = self._api.list_repo_tree(self._repo, repo_type="dataset", recursive=True)
        there = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
        _refuse_unexpected(self._repo, there)
        same = {name for name in self._names if name in there and self._is_same(name, there[name])}
        commits = plan_push({name: self._path(name).stat().st_size for name in self._names}, there, same)
        for i, commit in enumerate(commits):
            self._commit(commit, f"part {self.n_commits + 1} of {self.n_commits + len(commits) - i}")
            self.n_commits += 1

    def report(self, is_private: bool) -> PushReport:
        """What was done, over all calls."""
        url = f"{self._api.endpoint}/datasets/{self._repo}"
        n_deleted = len(self._deleted - set(self._names))
        return PushReport(url, is_private, len(self._sent), len(self._names) - len(self._sent), n_deleted)

    def _path(self, name: str) -> Path:
        return self._directory / name

    def _commit(self, commit: Commit, part: str) -> None:
        self._api.create_commit(
            self._repo,
            [*(CommitOperationDelete(name) for name in commit.delete), *(self._addition(name) for name in commit.add)],
            commit_message=f"{self._manifest.name} {self._manifest.fingerprint[:12]}, {part}",
            repo_type="dataset",
        )
        self._sent |= set(commit.add)
        self._deleted |= set(commit.delete)

    def _addition(self, name: str) -> CommitOperationAdd:
        """A file to add; a shard with the hash that was just checked, so that it is not read for one more."""
        addition = CommitOperationAdd(name, self._path(name))
        if name in self._manifest.shards:
            addition.upload_info.sha256 = bytes.fromhex(self._manifest.shards[name].sha256)
        return addition

    def _is_same(self, name: str, remote: RepoFile) -> bool:
        """Whether the repository has these bytes, by the hash that it keeps: SHA-256 of large files, Git's of small."""
        path, shards = self._path(name), self._manifest.shards
        if remote.size != path.stat().st_size:
            return False
        if remote.lfs is not None:
            return bool(remote.lfs.sha256 == (shards[name].sha256 if name in shards else sha256_of(path)))
        content = path.read_bytes()
        return bool(remote.blob_id == hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest())  # noqa: S324


def _refuse_unexpected(repo: str, there: Collection[str]) -> None:
    """Raise if a repository is in use for something else: files, and none of them of a dataset, whole or half."""
    unexpected = sorted(name for name in there if name not in _NEUTRAL_NAMES)
    if unexpected and not any(name == MANIFEST_NAME or is_shard_name(name) for name in unexpected):
        raise DatasetError(
            f"{repo}: holds {unexpected[0]} and nothing of a dataset of this format, so it is in use for something "
            "else; push to a repository that is new or empty"
        )
