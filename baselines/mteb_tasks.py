"""The pairs of domains as retrieval tasks of mteb, so that its models and its leaderboard tools can run on a dataset.

    import mteb
    from baselines.mteb_tasks import mteb_tasks

    mteb.evaluate(mteb.get_model("openai/clip-vit-base-patch32"), mteb_tasks(Path("dataset")))

mteb's `hit_rate_at_k` is R@k here, except for ties: mteb lets the order of its sort decide, this project counts them
against the model. A page is its image and its text; a sample of any other domain is a video, of all its frames, and its
text. `media="frame"` shows its middle frame instead, for models of images.

mteb keeps results by the name of a task and asks no more, so the name says which dataset it is of.
"""

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image

from rope.dataset.directory import SampleLabels, iter_samples, read_labels
from rope.dataset.manifest import DatasetManifest, read_manifest
from rope.domain import CROSS_DOMAIN_PAIRS, DomainName, Pair, Sample, Split
from rope.errors import UsageError
from rope.extras import needed_by, require
from rope.media import choose_frames, decode_frames
from rope.media.lossless import lossless_video

__all__ = ["HIT_RATES", "TaskMedia", "mteb_tasks", "pair_metadata", "relevant_documents", "task_name"]

TaskMedia = Literal["video", "frame"]
"""How a video or live clip is shown: all its frames as a video, or the middle one as an image."""

HIT_RATES: Final = (1, 5, 10, 20, 50)
"""The k of `hit_rate_at_k`; mteb's own tasks have neither 50 nor all of the others."""

_BATCH: Final = 64


def mteb_tasks(
    data: Path,
    split: Split = "validation",
    pairs: Sequence[Pair] = CROSS_DOMAIN_PAIRS,
    *,
    media: TaskMedia = "video",
) -> list[Any]:
    """A task of mteb (2.x) for each pair; samples are read when the task is run.

    Args:
        data: a dataset directory.
        split: the split whose samples are queries and documents.
        pairs: of different domains.
        media: `video` for models that take videos, `frame` for models of images.

    Raises:
        UsageError: mteb, or PyAV for videos, is not installed, a pair is of one domain, or the dataset lacks a domain
            or has galleries of its own, which mteb knows nothing of.
        DatasetError: the dataset cannot be read.
    """
    with needed_by("a task of mteb", "mteb"):
        base: Any = import_module("mteb.abstasks.retrieval").AbsTaskRetrieval
    if media == "video":
        require("av", "a task of mteb with videos", "video", ", or take media='frame'")
    manifest, labels = read_manifest(data), read_labels(data, split)
    for pair in pairs:
        _check(pair, labels, data)
    return [_task_class(base, pair, data, split, manifest, labels, media)() for pair in pairs]


def task_name(pair: Pair, manifest: DatasetManifest, split: Split, media: TaskMedia = "video") -> str:
    """What the task of a pair is called, such as `RopeVideoP2V-4be1b1c57e1a-0d9c2f6a`; `RopeP2V-…` is of frames.

    It holds 12 digits of the dataset's fingerprint, and 8 of the hash of the split's files, which have the images.
    """
    shown = "RopeVideo" if media == "video" else "Rope"
    return f"{shown}{pair.name}-{manifest.fingerprint[:12]}-{manifest.files_digest(split)[:8]}"


def pair_metadata(pair: Pair, manifest: DatasetManifest, split: Split, media: TaskMedia = "video") -> Any:  # noqa: ANN401
    """The `TaskMetadata` of a pair; its revision is the fingerprint of the dataset."""
    metadata: Any = import_module("mteb.abstasks.task_metadata").TaskMetadata
    return metadata(
        name=task_name(pair, manifest, split, media),
        description=f"Find the {pair.gallery}s that show the product of a {pair.query}.",
        dataset={"path": manifest.name, "revision": manifest.fingerprint},
        type="Any2AnyRetrieval",
        category="it2it" if media == "frame" else None,  # none is of images and texts to videos and texts
        modalities=["image", "text"] if media == "frame" else ["image", "text", "video"],
        eval_splits=[split],
        eval_langs=["zho-Hans"],
        main_score="hit_rate_at_1",
        domains=["Web"],
        is_public=False,
    )


def relevant_documents(queries: SampleLabels, gallery: SampleLabels) -> dict[str, dict[str, int]]:
    """For each query that has one, its positives with the relevance 1.

    >>> relevant_documents(SampleLabels(["1", "2"], ["a", "b"]), SampleLabels(["7", "8"], ["a", "a"]))
    {'1': {'7': 1, '8': 1}}
    """
    of_product: dict[str, dict[str, int]] = defaultdict(dict)
    for sample_id, product_id in zip(gallery.sample_ids, gallery.product_ids, strict=True):
        of_product[product_id][sample_id] = 1
    asked = zip(queries.sample_ids, queries.product_ids, strict=True)
    return {query: of_product[product] for query, product in asked if product in of_product}


def _check(pair: Pair, labels: dict[DomainName, SampleLabels], data: Path) -> None:
    if pair.query == pair.gallery:
        raise UsageError(f"{pair.name}: the tasks of mteb cannot leave a query out of its own gallery")
    for domain in (pair.query, pair.gallery):
        if domain not in labels:
            raise UsageError(f"{data}: has no {domain}s, which the task {pair.name} needs")
        if labels[domain].galleries is not None:
            raise UsageError(f"{data}: its {domain}s have their own galleries; mteb searches among all")


def _task_class(
    base: Any,  # noqa: ANN401  a class of mteb
    pair: Pair,
    data: Path,
    split: Split,
    manifest: DatasetManifest,
    labels: dict[DomainName, SampleLabels],
    media: TaskMedia,
) -> Any:  # noqa: ANN401
    """The class of one task: mteb keeps what describes a task in the class, not in the object."""

    def load_data(self: Any, num_proc: int | None = None, **_: object) -> None:  # noqa: ANN401
        if not self.data_loaded:
            found = {
                "queries": _rows(data, pair.query, split, manifest, media),
                "corpus": _rows(data, pair.gallery, split, manifest, media),
                "relevant_docs": relevant_documents(labels[pair.query], labels[pair.gallery]),
                "top_ranked": None,
            }
            self.dataset, self.data_loaded = {"default": {split: found}}, True

    content = {"metadata": pair_metadata(pair, manifest, split, media), "k_values": HIT_RATES, "load_data": load_data}
    return type(task_name(pair, manifest, split, media), (base,), {**content, "__module__": __name__})


def _rows(data: Path, domain: DomainName, split: Split, manifest: DatasetManifest, media: TaskMedia) -> Any:  # noqa: ANN401
    """Samples of a domain as rows of id, text, and image or video, kept on disk by `datasets`."""
    import datasets

    shown = "video" if media == "video" and domain != "page" else "image"
    kind = datasets.Video() if shown == "video" else datasets.Image()
    columns = {"id": datasets.Value("string"), "text": datasets.Value("string"), shown: kind}
    # Part of the arguments, so that what `datasets` keeps of another dataset in the same folder is not taken for it.
    content = f"{manifest.fingerprint} {manifest.files_digest(split)}"
    asked = {"data": str(data.resolve()), "domain": domain, "split": split, "shown": shown, "content": content}
    return datasets.Dataset.from_generator(_generate, features=datasets.Features(columns), gen_kwargs=asked)


def _generate(data: str, domain: DomainName, split: Split, shown: str, content: str) -> Iterator[dict[str, object]]:
    media_of = _video if shown == "video" else _picture
    for samples in iter_samples(Path(data), domain, split, batch_size=_BATCH):
        for sample in samples:
            yield {"id": sample.sample_id, "text": sample.text or "", shown: media_of(sample)}


def _picture(sample: Sample) -> dict[str, object]:
    """The middle frame: as it is stored, or that of a video file without loss."""
    if sample.frames:
        frame = sample.frames[choose_frames(len(sample.frames), 1)[0]]
        return {"bytes": frame.data, "path": frame.path}
    buffer = io.BytesIO()
    Image.fromarray(decode_frames(sample, 1)[0]).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def _video(sample: Sample) -> dict[str, object]:
    """A video file as it is stored, or all frames as one without loss, one a second."""
    if not sample.frames and sample.video is not None:
        return {"bytes": sample.video.data, "path": sample.video.path}
    return {"bytes": lossless_video(decode_frames(sample, len(sample.frames))), "path": None}
