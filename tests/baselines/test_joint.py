"""Joint input: small random checkpoints in the formats of Qwen3-VL and Qwen2-VL."""

import importlib.util

import numpy as np
import pytest
import torch

from baselines.joint import embedder
from rope.bench.running.embedder import has_roles
from rope.domain import Sample
from rope.errors import UsageError
from tests.baselines.samples import samples

INSTALLED = importlib.util.find_spec("torchvision") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="torchvision is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of transformers

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
SPECIAL += ["<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_tokenizer():
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2TokenizerFast

    words = [*sorted(ByteLevel.alphabet()), *SPECIAL]
    return Qwen2TokenizerFast(
        vocab={word: i for i, word in enumerate(words)},
        merges=[],
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[2],
        additional_special_tokens=SPECIAL[1:],
    )


def save_checkpoint(folder, kind):
    import transformers

    tokenizer = save_tokenizer()
    ids = {word.strip("<|>"): tokenizer.convert_tokens_to_ids(word) for word in SPECIAL}
    patch = {"Qwen3VL": 16, "Qwen2VL": 14}[kind]
    tokens = {f"{name}_token_id": ids[f"{name}_pad"] for name in ("image", "video")}
    tokens |= {f"vision_{end}_token_id": ids[f"vision_{end}"] for end in ("start", "end")}
    text = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    if kind == "Qwen3VL":
        text |= {"head_dim": 8, "rope_parameters": rope | {"mrope_interleaved": True}}
        vision = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32, "num_position_embeddings": 16}
        vision |= {"deepstack_visual_indexes": [0]}
    else:
        text |= {"rope_parameters": rope}
        vision = {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
    vision |= {"depth": 2, "num_heads": 2, "patch_size": patch, "temporal_patch_size": 2, "spatial_merge_size": 2}
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision, **tokens)
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    sizes = {"patch_size": patch, "temporal_patch_size": 2, "merge_size": 2}
    sizes["size"] = {"shortest_edge": 4 * patch**2, "longest_edge": 16 * patch**2}
    getattr(transformers, f"{kind}Processor")(
        image_processor=transformers.Qwen2VLImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=getattr(transformers, f"{kind}VideoProcessor")(**sizes),
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["Qwen3VL", "Qwen2VL"])
def checkpoint(request, tmp_path_factory):
    return str(save_checkpoint(tmp_path_factory.mktemp("joint") / request.param, request.param))


def changed(model, one, other):
    return not np.allclose(model.embed([one]), model.embed([other]), atol=1e-4)


@needs_package
def test_frames_and_text_are_one_input(checkpoint):
    model = embedder(checkpoint, device="cpu", frames="4")
    (video,) = samples("video", 1, n_frames=4)
    vectors = model.embed([video])
    assert vectors.shape == (1, 32)
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)
    frames = video.frames
    assert changed(model, video, Sample("0", "video", "blue shirt", frames))
    assert changed(model, video, Sample("0", "video", None, frames))
    assert changed(model, video, Sample("0", "video", video.text, frames[::-1]))  # a mean of images has no order
    assert changed(model, video, Sample("0", "video", video.text, frames[:1]))


@needs_package
def test_a_vector_does_not_depend_on_its_batch(checkpoint):
    model = embedder(checkpoint, device="cpu", frames="3", images="5")
    given = [*samples("video", 2, n_frames=3), *samples("video", 2, text=None, seed=1)]
    given.append(Sample("x", "video", "a much longer text than the others have " * 3, samples("video", 1)[0].frames))
    alone = np.concatenate([model.embed([one]) for one in given])
    assert np.allclose(model.embed(given), alone, atol=1e-5)
    assert np.allclose(model.embed(given[::-1])[::-1], alone, atol=1e-5)


@needs_package
def test_a_sample_of_which_nothing_is_read_has_no_vector(checkpoint):
    model = embedder(checkpoint, device="cpu", texts="page")
    there, alone = Sample("1", "page", "just a text", ()), Sample("2", "review", "not read", ())
    assert np.isnan(model.embed([there, alone])).all(axis=1).tolist() == [False, True]


@needs_package
def test_instructions_make_roles(checkpoint):
    model = embedder(checkpoint, device="cpu", query_prompt="Find the product.", gallery_prompt_video="Show it.")
    assert has_roles(model)
    given = samples("page", 2)
    plain = embedder(checkpoint, device="cpu").embed(given)
    assert np.allclose(model.embed(given, role="gallery"), plain, atol=1e-6)
    assert not np.allclose(model.embed(given, role="query"), plain, atol=1e-4)
    videos = samples("video", 2, n_frames=2)
    assert not np.allclose(model.embed(videos), embedder(checkpoint, device="cpu").embed(videos), atol=1e-4)


@needs_package
def test_options_are_part_of_the_model(checkpoint):
    given, seen = samples("video", 1, n_frames=4), []
    for options in ({}, {"suffix": "<|endoftext|>"}, {"pooling": "mean"}, {"instruction": "Other."}, {"frames": "2"}):
        model = embedder(checkpoint, device="cpu", **options)
        seen.append((model.fingerprint, model.embed(given).round(4).tobytes()))
    assert len(set(dict(seen))) == len({vector for _, vector in seen}) == 5


@needs_package
def test_what_does_not_fit_is_refused(checkpoint, tmp_path):
    for options, match in (
        ({"text_weight": "0.5"}, "nothing is summed"),
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"fps": "0"}, "fps is 0, expected more than 0"),
    ):
        with pytest.raises(UsageError, match=match):
            embedder(checkpoint, **options)
    with pytest.raises(UsageError, match="cannot load it"):
        embedder(str(tmp_path))


@pytest.mark.skipif(INSTALLED, reason="torchvision is installed")
def test_the_missing_package_is_named():
    with pytest.raises(UsageError, match=r"pip install 'rope-bench\[baselines\]'"):
        embedder("any")
