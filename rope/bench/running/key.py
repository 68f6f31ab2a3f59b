"""The key of a run: all that decides its vectors, stored next to them so that runs are never mixed up."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from rope.bench.running.embedder import EmbedderOrigin, NamedModel
from rope.bench.running.source import named_files, settings_of, source_of
from rope.dataset.manifest import DatasetManifest
from rope.domain import Split
from rope.errors import UsageError

__all__ = ["RunKey", "run_key"]

_ELSEWHERE: Final = frozenset({"device"})
"""Options that say where a model computes and not what."""


@dataclass(frozen=True, slots=True)
class RunKey:
    """Everything that decides the bytes of a run's result, as far as it can be known.

    Attributes:
        embedder: its name.
        embedder_fingerprint: its `fingerprint`, or None where it has none.
        source: without a fingerprint, the files of its code and those that its settings name -> hash.
        settings: options given with its name and, without a fingerprint, what it keeps of its constructor's values.
        unseen: without a fingerprint, why the code is not known; None where it is.
        dataset: fingerprint of the dataset.
        dataset_files: hash of the hashes of the split's files, as the fingerprint leaves out the images.
        split: the split embedded.
        batch_size: samples a call of `embed`; a model's numbers may depend on it in the last digits.
    """

    embedder: str
    embedder_fingerprint: str | None
    source: Mapping[str, str]
    settings: Mapping[str, str]
    unseen: str | None
    dataset: str
    dataset_files: str
    split: Split
    batch_size: int

    def to_json(self) -> str:
        """The key as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    def differences(self, other: str) -> str:
        """What a key written by `to_json` has otherwise, in words; empty where it is the same.

        A key of an older version is taken as far as it goes where the embedder has a fingerprint, and is different
        where it has none, as nothing in it tells of the code.

        >>> stored = RunKey("clip", None, {"clip.py": "3f"}, {}, None, "d0", "a", "train", 64)
        >>> RunKey("clip", None, {"clip.py": "9c"}, {}, None, "d0", "a", "train", 32).differences(stored.to_json())
        'clip.py has changed, batch_size is 64 there and 32 now'
        """
        there, now = json.loads(other), asdict(self)
        if self.embedder_fingerprint is None and there.get("embedder_fingerprint") is None and "source" not in there:
            return (
                "it was written by an older version, which did not keep a hash of the model's code, so nothing tells "
                "whether its vectors are those of this code"
            )
        found = _changed_files(there.get("source", {}), now["source"])
        for name in now:
            if name not in there or name == "source" or now[name] == there[name]:
                continue
            if name == "settings":
                found += _changed_values(there[name], now[name])
            elif name == "dataset_files" and (now["dataset"], now["split"]) == (there["dataset"], there["split"]):
                found.append("the dataset's files are others there, with the same ids and texts")
            elif name not in ("dataset_files", "unseen"):
                found.append(f"{name} is {there[name]!r} there and {now[name]!r} now")
        return ", ".join(found)

    def why_not_resumed(self, other: str) -> str:
        """Why vectors with the key `other` cannot be taken for those of this run, in words; empty where they can."""
        unseen = self.unseen or json.loads(other).get("unseen")
        if unseen is None:
            return self.differences(other)
        return (
            f"{unseen}, so nothing tells whether its vectors are those of this model (give it an attribute "
            "`fingerprint`, or put it into a file and import it)"
        )


def run_key(
    embedder: NamedModel,
    manifest: DatasetManifest,
    split: Split,
    batch_size: int,
    origin: EmbedderOrigin,
) -> RunKey:
    """The key of a run that starts now.

    Args:
        embedder: the model.
        manifest: of the dataset.
        split: to embed.
        batch_size: samples a call.
        origin: how the embedder was found.

    Raises:
        UsageError: the fingerprint is not text.
    """
    fingerprint = getattr(embedder, "fingerprint", None)
    if fingerprint is not None and not isinstance(fingerprint, str):
        raise UsageError(f"{embedder.name}: its fingerprint is {type(fingerprint).__name__}, expected a string")
    elsewhere = _ELSEWHERE | frozenset(getattr(embedder, "elsewhere", ()))
    given = {key: value for key, value in origin.options.items() if key not in elsewhere}
    source: dict[str, str] = {}
    unseen: str | None = None
    if fingerprint is None:
        code = source_of(embedder, origin.entry)
        given = settings_of(embedder) | ({"object": origin.name} if origin.name else {}) | given
        source, unseen = {**code.files, **named_files(given)}, code.unseen
    return RunKey(
        embedder.name,
        fingerprint,
        source,
        given,
        unseen,
        manifest.fingerprint,
        manifest.files_digest(split),
        split,
        batch_size,
    )


def _changed_files(there: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {'is new' if name not in there else 'is gone' if name not in now else 'has changed'}"
        for name in sorted({*there, *now})
        if there.get(name) != now.get(name)
    ]


def _changed_values(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"setting {name} is {there.get(name)!r} there and {now.get(name)!r} now"
        for name in sorted({*there, *now})
        if there.get(name) != now.get(name)
    ]
