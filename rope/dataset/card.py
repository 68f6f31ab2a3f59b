"""The dataset card: README.md with the YAML that `datasets` and the Hub read."""

import hashlib
from collections.abc import Sequence
from typing import Final

from rope.dataset.layout import shard_pattern
from rope.dataset.manifest import DatasetManifest
from rope.domain import DOMAINS, config_of, with_published
from rope.sources.faults import rule_of

__all__ = ["citation_of", "origin_of", "render_card"]

_SIZE_CATEGORIES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)

_BODY: Final = """\
# {name}

Products as they are seen on product pages, in short videos and in live streams{also}, in the directory \
format {version} of
rope-bench: plain Parquet, read by `datasets` with no code of its own.

```python
from datasets import load_dataset

{config} = load_dataset("path/to/this/folder", "{config}", split="{split}", streaming=True)
```

{counts}

| column of {samples} | type | |
|---|---|---|
| `sample_id`, `product_id` | string | samples with one `product_id` show one product |
| `text` | string or null | the title of a page, the recognised speech of a video or live clip{other_texts} |
| `frames` | list of images | {media}; a page has one |
| `frame_times` | list of int64 | frame number (video), timestamp in ms (live), 0 (page){other_times}; ascending |
| `category` | string or null | |{optional}

`products` has one row per product: `product_id`, `category`, {ids}. `aligned` is the same
without the category. Rows are in order of the ids, by length and then by code point.

Fingerprint: `{fingerprint}`

## Source and licence

{origin}

## What the source had wrong

{faults}
"""

_ABO_PAPER: Final = (
    "Collins et al., *ABO: Dataset and Benchmarks for Real-World 3D Object Understanding*, CVPR 2022 (arXiv 2110.06199)"
)

_PAPERS: Final = {
    "rope_release": "Bai et al., *Cross-Domain Product Representation Learning for Rich-Content E-Commerce*, ICCV 2023",
    "product1m": "Zhan et al., *Product1M: Towards Weakly Supervised Instance-Level Product Retrieval via Cross-Modal "
    "Pretraining*, ICCV 2021",
    "m5product": "Dong et al., *M5Product: Self-harmonized Contrastive Learning for E-commercial Multi-modal "
    "Pretraining*, CVPR 2022",
    "lpr4m": "Yang et al., *Cross-view Semantic Alignment for Livestreaming Product Recognition*, ICCV 2023",
    "grocery": "Klasson, Zhang and Kjellström, *A Hierarchical Grocery Store Image Dataset with Visual and Semantic "
    "Labels*, WACV 2019",
    "abo": _ABO_PAPER,
    "abo-mvr": _ABO_PAPER,
    "movingfashion": "Godi et al., *MovingFashion: a Benchmark for the Video-to-Shop Challenge*, WACV 2022",
    "mbeir": "Wei et al., *UniIR: Training and Benchmarking Universal Multimodal Information Retrievers*, ECCV 2024",
    "mmeb": "Jiang et al., *VLM2Vec: Training Vision-Language Models for Massive Multimodal Embedding Tasks*, ICLR "
    "2025",
}
"""Kind of source -> the paper that introduced it."""

_ROPE: Final = """\
Built from {n_files} text files in the layout of the ROPE release of {paper}. The ROPE data come under a licence of
their authors, who give it on request (https://github.com/adxcreative/COPE): do not pass a copy on without asking them.
Other releases in this layout have their own licences."""

_ABO: Final = """\
Built from the files of Amazon Berkeley Objects, of {paper}. Licence: CC BY 4.0, by the file LICENSE-CC-BY-4.0.txt that
is published next to the data; older copies of its README say CC BY-NC 4.0, so go by the licence that came with this
copy. Credit: data by Amazon.com; dataset, archives and benchmark by Matthieu Guillaumin, Thomas Dideriksen, Kenan
Deng, Himanshu Arora, Jasmine Collins and Jitendra Malik. The reader was written to the published description; its
authors have not seen the real files. What differed from the description is listed below."""

_GROCERY: Final = """\
Built from the Grocery Store Dataset, of {paper} (https://github.com/marcusklasson/GroceryStoreDataset). MIT licence,
copyright (c) 2019 Marcus Klasson; keep its text with every copy. The photographs are the authors'; the shop images and
descriptions come from the Swedish grocers Hemköp and ICA, and brands and packaging belong to their owners. Nobody
recorded a video or a stream: clips are sequences of photographs of one class, with a cut at nearly every frame, and
the texts of clips are sentences of shops, not speech."""

_CANDIDATES: Final = (
    "A candidate has no product label, so that each is a product of its own, and only the search queries in the folder "
    "`queries` ask for anything. Each of its parts has a licence of its own."
)

_ORIGINS: Final = {
    "grocery": _GROCERY,
    "abo": f"{_ABO} The split is drawn by a hash of related products.",
    "abo-mvr": f"{_ABO} The split follows the benchmark abo-mvr: its test images are in validation, those of train "
    "and val in train. Its protocol searches the images of train too, so that its published figures compare with none "
    "of this dataset.",
    "product1m": "Built from the text files of Product1M, of {paper} (https://github.com/zhanxlin/Product1M).",
    "m5product": "Built from M5Product, of {paper} (https://xiaodongsuper.github.io/M5Product_dataset).",
    "lpr4m": "Built from LPR4M, of {paper} (https://github.com/adxcreative/RICE).",
    "movingfashion": "Built from MovingFashion, of {paper} (https://github.com/HumaticsLAB/SEAM-Match-RCNN).",
    "mbeir": f"Built from files of M-BEIR, of {{paper}} (TIGER-Lab/M-BEIR on the Hub). {_CANDIDATES}",
    "mmeb": f"Built from files of MMEB, of {{paper}} (TIGER-Lab/MMEB-eval on the Hub). {_CANDIDATES}",
    "folder": "Built from a folder of somebody's own.",
}
"""Kind of source -> where the data come from; ROPE's own paragraph counts the files."""

_LICENCES: Final = {"grocery": "mit", "abo": "cc-by-4.0", "abo-mvr": "cc-by-4.0"}
"""Kind of source -> its licence, as the Hub calls it, where the authors permit copies."""

_ASK: Final = "Its owners decide who may have a copy: ask them before you pass one on."

_OPTIONAL: Final = {
    "video": "| `video` | video or null | the file of a sample that is a video file; it has no frames |",
    "audio": "| `audio` | audio or null | a file with the sound of a sample that is not a video file |",
    "gallery": "| `gallery` | string or null | a query is answered only from samples of its own gallery |",
}


def render_card(manifest: DatasetManifest, optional: Sequence[str] = ()) -> str:
    """The text of README.md for a dataset directory.

    Args:
        manifest: of the dataset.
        optional: the columns of samples, of `rope.dataset.columns.OPTIONAL_COLUMNS`, that some domain has.
    """
    configs, domains = manifest.loadable, with_published(manifest.domains)
    others = domains[len(DOMAINS) :]
    return _front_matter(manifest) + _BODY.format(
        also="".join(f", in {config_of(domain)}" for domain in others),
        samples=", ".join(map(config_of, domains)),
        other_texts="".join(f", the text of a {domain}" for domain in others),
        other_times=f", number of the image ({', '.join(others)})" if others else "",
        ids=", ".join(f"`{name}`" for name in manifest.id_columns),
        config="videos" if "videos" in configs else configs[0],
        optional="".join(f"\n{_OPTIONAL[column]}" for column in optional),
        origin=origin_of(manifest),
        name=manifest.name,
        version=manifest.format_version,
        split="validation" if "validation" in manifest.counts else "train",
        counts=_counts(manifest),
        media="bytes inside" if manifest.media == "embed" else "paths of files on the machine that built this",
        fingerprint=manifest.fingerprint,
        faults=_faults(manifest),
    )


def origin_of(manifest: DatasetManifest) -> str:
    """Where the data come from, and who decides about copies."""
    known, paper = _ORIGINS.get(manifest.source.get("kind", "")), citation_of(manifest)
    n_files = sum(1 for name in manifest.source if name.endswith(".txt"))
    if known is None:
        return _ROPE.format(n_files=n_files, paper=paper)
    is_open = manifest.source.get("kind", "") in _LICENCES
    return known.format(paper=paper) if is_open else f"{known.format(paper=paper)} {_ASK}"


def citation_of(manifest: DatasetManifest) -> str:
    """The paper to cite for the data; empty where they are somebody's own."""
    kind = manifest.source.get("kind", "")
    return "" if kind == "folder" else _PAPERS.get(kind, _PAPERS["rope_release"])


def _front_matter(manifest: DatasetManifest) -> str:
    samples = sum(counts[config] for counts in manifest.counts.values() for config in manifest.configs[1:])
    size = next((name for limit, name in _SIZE_CATEGORIES if samples < limit), "n>100M")
    content = hashlib.sha256("".join(shard.sha256 for _, shard in sorted(manifest.shards.items())).encode()).hexdigest()
    lines = ["---", f"pretty_name: {_quoted(manifest.name)}"]
    lines.append(f"license: {_LICENCES.get(manifest.source.get('kind', ''), 'other')}")
    lines += ["task_categories:", "- image-feature-extraction", "tags:", "- product-retrieval", "- cross-domain"]
    lines += ["size_categories:", f"- {size}", "configs:"]
    configs = manifest.loadable
    for config in configs:
        # `datasets` names its cache by the folder's name and this header alone, so without their own description
        # two datasets in folders of one name would share their rows.
        lines += [f"- config_name: {config}", f"  description: {content}"]
        lines += ["  default: true"] if config == configs[0] else []
        folder = "products" if config == "aligned" else config
        if config == "aligned":
            lines.append(f"  columns: [{', '.join(['product_id', *manifest.id_columns])}]")
        lines.append("  data_files:")
        for split in manifest.counts:
            lines += [f"  - split: {split}", f"    path: {shard_pattern(manifest.shards, folder, split)}"]
    return "\n".join([*lines, "---", "", ""])


def _quoted(text: str) -> str:
    """A YAML string in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def _counts(manifest: DatasetManifest) -> str:
    configs = manifest.configs
    rows = [
        f"| {split} | " + " | ".join(f"{counts[c]:,}" for c in configs) + " |"
        for split, counts in manifest.counts.items()
    ]
    return "\n".join(["| split | " + " | ".join(configs) + " |", "|---" * (len(configs) + 1) + "|", *rows])


def _faults(manifest: DatasetManifest) -> str:
    if not manifest.faults:
        return "Nothing was found."
    rows = [
        f"| {kind} | {count:,} | {rule_of(kind).consequence} | {rule_of(kind).meaning} |"
        for kind, count in manifest.faults.items()
    ]
    return "\n".join(
        ["`faults.tsv` names each by file and line.", "", "| kind | number | | |", "|---|---|---|---|", *rows]
    )
