"""The dataset card: README.md with the YAML that `datasets` and the Hub read."""

import hashlib
from typing import Final

from rope.dataset.manifest import Manifest
from rope.domain import CONFIG_OF
from rope.sources.faults import RULES

__all__ = ["render_card"]

_SAMPLE_CONFIGS: Final = tuple(CONFIG_OF.values())
_CONFIGS: Final = (*_SAMPLE_CONFIGS, "products", "aligned")
_ALIGNED_COLUMNS: Final = ("product_id", "page_ids", "video_ids", "live_ids")

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

Products as they are seen on product pages, in short videos and in live streams, in the directory format {version} of
rope-bench: plain Parquet, read by `datasets` with no code of its own.

```python
from datasets import load_dataset

videos = load_dataset("path/to/this/folder", "videos", split="{split}", streaming=True)
```

{counts}

| column of pages, videos, lives | type | |
|---|---|---|
| `sample_id`, `product_id` | string | samples with one `product_id` show one product |
| `text` | string or null | the title of a page, the recognised speech of a video or live clip |
| `frames` | list of images | {media}; a page has one |
| `frame_times` | list of int64 | frame number (video), timestamp in ms (live), 0 (page); ascending |
| `category` | string or null | |

`products` has one row a product: `product_id`, `category`, `page_ids`, `video_ids`, `live_ids`. `aligned` is the same
without the category. Rows are in order of the ids, by length and then by code point.

Fingerprint: `{fingerprint}`

## Source and licence

Built from {n_files} text files in the layout of the ROPE release of Bai et al., *Cross-Domain Product Representation
Learning for Rich-Content E-Commerce*, ICCV 2023. The ROPE data come under a licence of their authors, who give it on
request (https://github.com/adxcreative/COPE): do not pass a copy on without asking them. Other releases in this layout
have licences of their own.

## What the source had wrong

{faults}
"""


def render_card(manifest: Manifest) -> str:
    """The text of README.md for a dataset directory."""
    return _front_matter(manifest) + _BODY.format(
        name=manifest.name,
        version=manifest.format_version,
        split="validation" if "validation" in manifest.counts else "train",
        counts=_counts(manifest),
        media="bytes inside" if manifest.media == "embed" else "paths of files on the machine that built this",
        fingerprint=manifest.fingerprint,
        n_files=sum(1 for name in manifest.source if name.endswith(".txt")),
        faults=_faults(manifest),
    )


def _front_matter(manifest: Manifest) -> str:
    samples = sum(counts[config] for counts in manifest.counts.values() for config in _SAMPLE_CONFIGS)
    size = next((name for limit, name in _SIZE_CATEGORIES if samples < limit), "n>100M")
    content = hashlib.sha256("".join(shard.sha256 for _, shard in sorted(manifest.shards.items())).encode()).hexdigest()
    lines = ["---", f"pretty_name: {_quoted(manifest.name)}", "license: other"]
    lines += ["task_categories:", "- image-feature-extraction", "tags:", "- product-retrieval", "- cross-domain"]
    lines += ["size_categories:", f"- {size}", "configs:"]
    for config in _CONFIGS:
        # `datasets` names its cache by the folder's name and this header alone, so without a description of their own
        # two datasets in folders of one name would share their rows.
        lines += [f"- config_name: {config}", f"  description: {content}"]
        lines += ["  default: true"] if config == _SAMPLE_CONFIGS[0] else []
        folder = "products" if config == "aligned" else config
        if config == "aligned":
            lines.append(f"  columns: [{', '.join(_ALIGNED_COLUMNS)}]")
        lines.append("  data_files:")
        for split in manifest.counts:
            lines += [f"  - split: {split}", f"    path: {folder}/{split}-*.parquet"]
    return "\n".join([*lines, "---", "", ""])


def _quoted(text: str) -> str:
    """A YAML string in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def _counts(manifest: Manifest) -> str:
    configs = ("products", *_SAMPLE_CONFIGS)
    rows = [
        f"| {split} | " + " | ".join(f"{counts[c]:,}" for c in configs) + " |"
        for split, counts in manifest.counts.items()
    ]
    return "\n".join(["| split | " + " | ".join(configs) + " |", "|---" * (len(configs) + 1) + "|", *rows])


def _faults(manifest: Manifest) -> str:
    if not manifest.faults:
        return "Nothing was found."
    rows = [
        f"| {kind} | {count:,} | {RULES[kind].consequence} | {RULES[kind].meaning} |"
        for kind, count in manifest.faults.items()
    ]
    return "\n".join(
        ["`faults.tsv` names each by file and line.", "", "| kind | number | | |", "|---|---|---|---|", *rows]
    )
