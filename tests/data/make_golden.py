"""Take from the recorded runs of the authors' code what the tests read.

    python -m tests.data.make_golden SOURCE

SOURCE holds the recordings, in the folders `cope`, `baselines` and `results`; `golden/README.md` says of what code. The
same recordings give the same bytes. What a test needs is kept to the last bit.
"""

import argparse
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save

GOLDEN = Path(__file__).with_name("golden")

# Parameters that fit numbers of 16 and 32 bits: 4 % smaller than the defaults here.
XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 2, "lp": 2, "pb": 2}]
N_FILTERS = 8
"""So many of the 64 filters are kept of the two gradients that are as large as all others together."""

Tensors = dict[str, torch.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    source = parser.parse_args().source
    shutil.rmtree(GOLDEN / "product1m", ignore_errors=True)
    for name, read in ARRAYS.items():
        write(name, read(source))
    write_facts(source)
    copy_texts(source)


def write(name: str, tensors: Tensors) -> None:
    packed = lzma.compress(save({key: narrowed(tensor) for key, tensor in tensors.items()}), filters=XZ)
    path = GOLDEN / f"{name}.safetensors.xz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed)


def narrowed(tensor: torch.Tensor) -> torch.Tensor:
    """As bfloat16 where that is the same numbers; `tests.stored` makes float32 of it again."""
    half = tensor.to(torch.bfloat16)
    same = tensor.dtype == torch.float32 and torch.equal(half.float(), tensor)
    return (half if same else tensor).contiguous()


def archive(path: Path, keep: Callable[[str], bool] = lambda name: True) -> Tensors:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files if keep(name)}


def xclip(source: Path) -> Tensors:
    wanted = ("state.", "in.", "out.T1.video_features", "out.T8.video_features")
    return archive(source / "cope" / "cope_public_xclip.npz", lambda name: name.startswith(wanted))


def shark(source: Path) -> Tensors:
    left_out = ("out.text_", "out.video_", "gradnorm_contrastive.names", "gradnorm_total.names")
    found = archive(source / "cope" / "cope_public_shark.npz", lambda name: not name.startswith(left_out))
    for name in [name for name in found if name.startswith("grad_") and name.endswith("conv1.weight")]:
        found[name] = found[name][:N_FILTERS]
    return found


def pixels(source: Path) -> Tensors:
    return archive(source / "cope" / "cope_public_data.npz", lambda name: name.endswith((".uint8", ".infer")))


def clip4clip(part: str) -> Callable[[Path], Tensors]:
    def read(source: Path) -> Tensors:
        return torch.load(source / "baselines" / f"clip4clip_public_{part}.bin.0", weights_only=True)

    return read


def fashion_clip(source: Path) -> Tensors:
    wanted = ("image_0", "image_1", "image_2", "image_3", "pixel_values_pil", "image_embed_raw_pil", "text_embed_raw")
    return archive(source / "baselines" / "fashionclip_public_io.npz", lambda name: name in wanted)


def chinese_clip(source: Path) -> Tensors:
    wanted = ("image_0", "image_1", "image_2", "pixel_values", "image_embed_raw", "input_ids", "text_embed_raw")
    return archive(source / "baselines" / "cnclip_public_io.npz", lambda name: name in wanted)


def chinese_clip_weights(source: Path) -> Tensors:
    """Of the vectors of 21,128 words, those that the inputs name; the others, on which no output depends, are zero."""
    state = torch.load(source / "baselines" / "cnclip_public_ckpt.pt", weights_only=True)["state_dict"]
    words = state["module.bert.embeddings.word_embeddings.weight"]
    used = chinese_clip(source)["input_ids"].unique().long()
    state["module.bert.embeddings.word_embeddings.weight"] = torch.zeros_like(words).index_copy(0, used, words[used])
    return dict(state)


def of_baselines(name: str) -> Callable[[Path], Tensors]:
    return lambda source: archive(source / "baselines" / f"{name}.npz")


ARRAYS: dict[str, Callable[[Path], Tensors]] = {
    "cope/xclip": xclip,
    "cope/shark": shark,
    "cope/pixels": pixels,
    "cope/partialfc": lambda source: archive(source / "cope" / "cope_public_partialfc.npz"),
    "cope/world2": lambda source: archive(source / "cope" / "cope_public_world2.npz"),
    "clip4clip/clip": clip4clip("clip"),
    "clip4clip/seqLSTM": clip4clip("seqLSTM_extra"),
    "clip4clip/seqTransf": clip4clip("seqTransf_extra"),
    "clip4clip/tightTransf": clip4clip("tightTransf_extra"),
    "clip4clip/inputs": of_baselines("clip4clip_public_inputs"),
    "clip4clip/outputs": lambda source: archive(
        source / "baselines" / "clip4clip_public_outputs.npz",
        lambda name: name.endswith(("/sim", "/video_embed", "fp32/text_embed_raw")),
    ),
    "clip4clip/preprocess": of_baselines("clip4clip_public_preprocess"),
    "fashion_clip/weights": lambda source: load_file(
        source / "baselines" / "fashionclip_public_model" / "model.safetensors"
    ),
    "fashion_clip/io": fashion_clip,
    "chinese_clip/weights": chinese_clip_weights,
    "chinese_clip/io": chinese_clip,
    "learn/weights": lambda source: dict(
        torch.load(source / "baselines" / "learn_public_ckpt.pt", weights_only=True)["state_dict"]
    ),
    "learn/io": of_baselines("learn_public_io"),
}


def write_facts(source: Path) -> None:
    def recorded(name: str) -> dict:
        return json.loads((source / "baselines" / f"{name}.json").read_text("utf-8"))

    learn = recorded("learn_public_meta")
    kept = {
        "clip4clip/tokens": [
            {"text": row["text"], "input_ids": row["input_ids"]}
            for row in recorded("clip4clip_public_aux")["tokens"]["rows"]
        ],
        "fashion_clip/texts": recorded("fashionclip_public_meta")["texts"],
        "chinese_clip/titles": recorded("cnclip_public_meta")["config"]["titles"],
        "learn/figures": {
            "loss": learn["loss"],
            "pretrain_loss_mistakes": learn["log"]["pretrain_loss_mistakes"],
            "metrics": learn["metrics"],
        },
    }
    for name, content in kept.items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


def copy_texts(source: Path) -> None:
    """Files that are small as they are."""
    baselines, model = source / "baselines", source / "baselines" / "fashionclip_public_model"
    shutil.copytree(baselines / "product1m_public_case", GOLDEN / "product1m", copy_function=shutil.copyfile)
    copies = {baselines / "product1m_public_results.json": GOLDEN / "product1m" / "results.json"}
    copies |= {path: GOLDEN / "fashion_clip" / path.name for path in model.iterdir() if path.suffix != ".safetensors"}
    copies |= {
        source / "cope" / f"STATE_DICT_KEYS_{n}.tsv": GOLDEN / "cope" / f"tensors_{n}.tsv" for n in ("rbt3", "rbt6")
    }
    copies[source / "cope" / "cope_public_tsv_title.json"] = GOLDEN / "cope" / "dump.json"
    copies[source / "results" / "cope_supplement.csv"] = GOLDEN / "cope" / "supplement.csv"
    for original, copy in copies.items():
        shutil.copyfile(original, copy)


if __name__ == "__main__":
    main()
