"""How well does filtering by similarity find wrong texts? Judged with a small Chinese-CLIP trained on a synthetic pool.

    python benchmarks/similarity_filter.py [--steps 1500] [--folder FOLDER]

Real weights can't be judged on drawn products, nor a small model on real ones. So a small Chinese-CLIP (0.9 M weights,
64 x 64 pixels) learns from one synthetic pool, wrong texts included, and a recipe of `decode`, `embed` and `filter`
with it is run on another pool, of other products. There a text is wrong for one row in ten: three in four of these are
of another category, the others of another product of the same category.

The model learns from pairs of a picture and a text (symmetric contrastive loss over 128 products a step), and, since a
few thousand pictures are too few for that alone, from the categories of the pool: a vector for each, to which both
pictures and texts are drawn.

Printed for each domain: the area under the curve (the share of pairs of a fitting and a wrong row in which the fitting
one has the higher similarity); and at the cut that keeps 90 % of the fitting rows, the share of wrong ones rejected,
how many of the rejected are wrong, and how many of the rows are right before and after.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from PIL import Image
from scipy.stats import rankdata
from torch.nn.functional import cross_entropy, normalize, pad

from rope.curation.filtering.sweep import scores
from rope.curation.pipeline.engine_local import local_engine
from rope.curation.pipeline.recipe import CurationRecipe, read_recipe
from rope.curation.pipeline.runner import run_recipe
from rope.encoders.chinese_clip import CONTEXT
from rope.encoders.pixels import square_pixels
from rope.synthetic.pool import write_pool

SIDE, WIDTH, DIM, BATCH, SHIFT = 64, 128, 64, 128, 6
SHORT, LONG = 20, CONTEXT - 2  # tokens of a step; long ones cost more, and without any, late places stay untrained
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
RECIPE = """
[pool]
path = "judged"
[[stage]]
use = "decode"
[[stage]]
use = "embed"
model = "{model}"
device = "cpu"
[[stage]]
use = "filter"
minimum = -1.0
"""


@dataclass(frozen=True)
class Pairs:
    """What is learnt from: n rows."""

    pictures: list[torch.Tensor]  # [frames, 3, SIDE, SIDE] each
    texts: list[str]
    product: np.ndarray
    category: torch.Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--folder", type=Path, help="Where to work; a temporary one else.")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for name, products, seed in (("learnt", 400, 1), ("judged", 200, 0)):
            if not (folder / name).exists():
                write_pool(folder / name, products=products, seed=seed, progress=False)
        began = time.process_time()
        train(read_pairs(folder / "learnt"), folder / "model", options.steps)
        print(f"trained for {options.steps} steps, {time.process_time() - began:.0f} s of CPU\n", flush=True)
        (folder / "recipe.toml").write_text(RECIPE.format(model=folder / "model"))
        recipe = read_recipe(folder / "recipe.toml")
        run_recipe(recipe, lambda _: local_engine(1), progress=False)
        judge(recipe, folder / "judged" / "answers.parquet")


def read_pairs(pool: Path) -> Pairs:
    """The rows of a pool that have a text and pictures that can be read; three frames of each."""
    rng = np.random.default_rng(0)
    answers = {row["id"]: row for row in pq.read_table(pool / "answers.parquet").to_pylist()}
    rows = [row for row in pq.read_table(pool / "pool.parquet").to_pylist() if row["text"]]
    rows = [row for row in rows if not answers[row["id"]]["poison"]]
    categories = sorted({row["category"] for row in rows})
    return Pairs(
        [read_frames(pool, rng.permutation(row["frames"])[:3]) for row in rows],
        [row["text"].lower() for row in rows],
        np.array([answers[row["id"]]["product"] for row in rows]),
        torch.tensor([categories.index(row["category"]) for row in rows]),
    )


def read_frames(pool: Path, names: Sequence[str]) -> torch.Tensor:
    return torch.stack([square_pixels(np.asarray(Image.open(pool / name).convert("RGB")), SIDE) for name in names])


def small_model(n_words: int) -> Any:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 4}
    config = transformers.ChineseCLIPConfig(
        text_config={**sizes, "num_hidden_layers": 2, "vocab_size": n_words, "max_position_embeddings": CONTEXT},
        vision_config={**sizes, "num_hidden_layers": 3, "image_size": SIDE, "patch_size": 16},
        projection_dim=DIM,
    )
    return transformers.ChineseCLIPModel(config)


def make_tokenizer(texts: Sequence[str]) -> Any:
    """Every character is a word; Latin letters also go on a word."""
    characters = sorted(set("".join(texts)) - {" "})
    inside = [f"##{one}" for one in characters if one.isascii() and one.isalnum()]
    words = {word: i for i, word in enumerate([*MARKS, *characters, *inside])}
    return transformers.BertTokenizer(vocab=words)


def train(pairs: Pairs, out: Path, steps: int) -> None:
    """Train from scratch, and save the model as transformers does."""
    tokenizer = make_tokenizer(pairs.texts)
    tokens = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in pairs.texts]
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = small_model(len(tokenizer)).train()
    centres = torch.nn.Parameter(0.1 * torch.randn(int(pairs.category.max()) + 1, DIM))
    optimizer = torch.optim.AdamW([*model.parameters(), centres], lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.05)
    members = [np.flatnonzero(pairs.product == one) for one in np.unique(pairs.product)]
    for _ in range(steps):
        chosen = rng.choice(len(members), min(BATCH, len(members)), replace=False)
        rows = [int(rng.choice(members[one])) for one in chosen]  # two rows of a product would not be negatives
        pixels = torch.stack([pairs.pictures[row][rng.integers(len(pairs.pictures[row]))] for row in rows])
        length = LONG if rng.random() < 0.3 else SHORT
        ids = torch.tensor([window(tokens[row], length, rng) for row in rows])
        value = loss(model, centres, moved(pixels, rng), blurred(ids, rng), pairs.category[rows])
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def window(tokens: Sequence[int], length: int, rng: np.random.Generator) -> list[int]:
    """At most so many tokens in a row, with marks and padding."""
    start = int(rng.integers(max(1, len(tokens) - length + 1)))
    part = [2, *tokens[start : start + length], 3]
    return part + [0] * (length + 2 - len(part))


def moved(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The pictures, mirrored or not, shifted by some pixels."""
    left, top = rng.integers(0, 2 * SHIFT + 1, 2).tolist()
    wide = pad(pixels.flip(-1) if rng.random() < 0.5 else pixels, (SHIFT,) * 4, mode="replicate")
    return wide[:, :, top : top + SIDE, left : left + SIDE]


def blurred(ids: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A tenth of the characters become unknown."""
    lost = torch.from_numpy(rng.random(ids.shape) < 0.1) & (ids >= len(MARKS))
    return torch.where(lost, 1, ids)


def loss(
    model: Any, centres: torch.Tensor, pixels: torch.Tensor, ids: torch.Tensor, category: torch.Tensor
) -> torch.Tensor:
    """Each picture to its text and back, and both to the vector of their category."""
    pictures = normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=1)
    texts = normalize(model.get_text_features(input_ids=ids, attention_mask=(ids != 0).long()).pooler_output, dim=1)
    scale, own = model.logit_scale.exp().clamp(max=30), torch.arange(len(ids))
    contrast = cross_entropy(scale * pictures @ texts.T, own) + cross_entropy(scale * texts @ pictures.T, own)
    unit = normalize(centres, dim=1)
    return contrast / 2 + sum(cross_entropy(scale * one @ unit.T, category) for one in (pictures, texts))


def judge(recipe: CurationRecipe, answers: Path) -> None:
    """Print what similarities say of planted wrong texts."""
    known = {row["id"]: row["is_mismatch"] for row in pq.read_table(answers).to_pylist()}
    judged = pa.concat_tables(scores(recipe, "filter", "similarity")).drop_null().to_pydict()
    similarity, domain = np.array(judged["score"]), np.array(judged["domain"])
    is_wrong = np.array([known[row_id] for row_id in judged["id"]])
    print(
        "| domain | rows | wrong texts | AUC | wrong ones rejected | rejected that are wrong | right before | after |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in ("page", "video", "live"):
        own = domain == name
        found = at_cut(similarity[own], is_wrong[own])
        cells = [f"{found[key]:.3f}" for key in ("auc", "rejected", "precision", "before", "after")]
        print(f"| {name} | {own.sum():,} | {is_wrong[own].sum():,} | {' | '.join(cells)} |")


def at_cut(similarity: np.ndarray, is_wrong: np.ndarray) -> Mapping[str, float]:
    """The figures of one domain, at the cut that keeps 90 % of the fitting rows."""
    ranks, n_right = rankdata(similarity), int((~is_wrong).sum())
    wins = ranks[~is_wrong].sum() - n_right * (n_right + 1) / 2
    is_out = similarity < np.quantile(similarity[~is_wrong], 0.1)
    return {
        "auc": wins / (n_right * is_wrong.sum()),
        "rejected": is_out[is_wrong].mean(),
        "precision": is_wrong[is_out].mean(),
        "before": 1 - is_wrong.mean(),
        "after": 1 - is_wrong[~is_out].mean(),
    }


if __name__ == "__main__":
    main()
