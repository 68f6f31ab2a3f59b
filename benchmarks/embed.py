"""Images per second of the runner's embedder, beside plain loops over the same small CLIP.

    python -m benchmarks.embed [--images 512] [--repeats 3] [--device cpu] [--tower small|base]

Every way decodes the same JPEG files, prepares them with Pillow and computes in batches of 64. The ways take turns and
the median of the repeats counts, since other work on the machine slows all of them down. sentence-transformers and
open_clip, the latter with a tower of the same size, take part where they are installed. `bare_forward` is the model
alone, on pixels that were prepared before, with a thread a core: no way in float32 can be faster.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from baselines.fusion import FusedEmbedder, _one_core_each
from baselines.transformers_model import embedder, load_transformers_model
from rope.domain import Frame, Sample

BATCH = 64

MODELS: list[FusedEmbedder] = []
"""Those of the runner, which tell at the end how much of the time they waited."""


TOWERS = {"small": (256, 4, 4), "base": (768, 12, 12)}
"""Width, blocks and heads; `base` is the tower of CLIP ViT-B/32."""


def save_model(folder: Path, tower_name: str) -> None:
    """A random CLIP of 224 pixels."""
    width, layers, heads = TOWERS[tower_name]
    letters = [*"abcdefgh", *(f"{c}</w>" for c in "abcdefgh"), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(letters)}, merges=[])
    tower = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4}
    vision = {"hidden_size": width, "intermediate_size": 4 * width} | {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=tower | ends | {"vocab_size": len(tokenizer)}, vision_config=vision))
    model.save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)


def make_images(n: int) -> list[bytes]:
    """JPEG files of 640 x 480 with smooth random colours."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(n):
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        buffer = io.BytesIO()
        small.resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def opened(files: list[bytes]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in files]


def plain_loop(folder: Path, device: str) -> Callable[[list[bytes]], np.ndarray]:
    model, processor = (
        CLIPModel.from_pretrained(folder).eval().to(device),
        CLIPImageProcessorPil.from_pretrained(folder),
    )

    @torch.inference_mode()
    def embed(files: list[bytes]) -> np.ndarray:
        pixels = processor(images=opened(files), return_tensors="pt")["pixel_values"].to(device)
        return torch.nn.functional.normalize(model.get_image_features(pixels).pooler_output).cpu().numpy()

    return embed


def runner(folder: Path, device: str, **options: str) -> Callable[[list[bytes]], np.ndarray]:
    model = embedder(str(folder), text_weight="0", device=device, images=str(BATCH), **options)
    MODELS.append(model)
    return lambda files: model.embed([Sample(str(i), "page", None, (Frame(data),)) for i, data in enumerate(files)])


def runner_decode_side(folder: Path, device: str) -> Callable[[list[bytes]], np.ndarray]:
    return runner(folder, device, decode_side="224")


def runner_bf16(folder: Path, device: str) -> Callable[[list[bytes]], np.ndarray]:
    return runner(folder, device, precision="bf16")


def bare_forward(folder: Path, device: str) -> Callable[[list[bytes]], np.ndarray]:
    """Its pixels are noise, so that its vectors are no one's."""
    encoder = load_transformers_model(str(folder), precision="fp32", device=device)
    pixels = [*torch.randn(BATCH, 3, 224, 224)]

    def embed(files: list[bytes]) -> np.ndarray:
        chunks = [pixels[i : i + 16] for i in range(0, len(files), 16)]
        with _one_core_each(torch.get_num_threads()) as pool:
            return np.concatenate([rows.cpu().numpy() for rows in pool.map(encoder.encode_images, chunks)])

    return embed


def sentence_transformers(folder: Path, device: str) -> Callable[[list[bytes]], np.ndarray]:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import CLIPModel as Module

    model = SentenceTransformer(modules=[Module(str(folder))], device=device)
    return lambda files: model.encode(
        opened(files), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
    )


def open_clip(folder: Path, device: str, tower_name: str) -> Callable[[list[bytes]], np.ndarray]:
    """A tower of the same size with weights of its own, so its vectors are others."""
    import open_clip as package

    width, layers, heads = TOWERS[tower_name]
    vision = {"width": width, "layers": layers, "head_width": width // heads, "image_size": 224, "patch_size": 32}
    model = package.CLIP(512, vision, {"width": 256, "layers": 4, "heads": 4}).eval().to(device)
    transform = package.image_transform(224, is_train=False)

    @torch.inference_mode()
    def embed(files: list[bytes]) -> np.ndarray:
        pixels = torch.stack([transform(image) for image in opened(files)]).to(device)
        return model.encode_image(pixels, normalize=True).cpu().numpy()

    return embed


def seconds(embed: Callable[[list[bytes]], np.ndarray], files: list[bytes]) -> tuple[float, float, np.ndarray]:
    """By the clock, of processor time, and the vectors."""
    start, start_cpu = time.perf_counter(), time.process_time()
    rows = np.concatenate([embed(files[i : i + BATCH]) for i in range(0, len(files), BATCH)])
    return time.perf_counter() - start, time.process_time() - start_cpu, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tower", choices=TOWERS, default="small")
    given = parser.parse_args()
    files = make_images(given.images)
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), given.tower)
        ways = {}
        for make in (
            plain_loop,
            runner,
            runner_decode_side,
            runner_bf16,
            sentence_transformers,
            open_clip,
            bare_forward,
        ):
            try:
                arguments = (given.tower,) if make is open_clip else ()
                ways[make.__name__] = make(Path(folder), given.device, *arguments)
            except ImportError as error:
                print(f"{make.__name__}: left out: {error}")
        taken: dict[str, list[float]] = {name: [] for name in ways}
        reference = seconds(ways["plain_loop"], files)[-1]
        for _ in range(given.repeats):
            for name, embed in ways.items():
                duration, cpu, rows = seconds(embed, files)
                taken[name].append(duration)
                difference = np.abs(rows - reference).max()
                print(
                    f"{name}: {duration:.2f} s, {cpu:.2f} s of processor time, largest difference from the plain loop "
                    f"{difference:.1e}",
                    flush=True,
                )
    middle = {name: statistics.median(durations) for name, durations in taken.items()}
    for name, duration in middle.items():
        print(
            f"{name}: {given.images / duration:.1f} images/s, {middle['plain_loop'] / duration:.2f} of the plain loop"
        )
    for model in MODELS:
        print(model.spent)


if __name__ == "__main__":
    main()
