"""Small random models in the formats of the real ones, made from seeds."""

from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    ChineseCLIPConfig,
    ChineseCLIPModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
    VideoMAEImageProcessor,
    XCLIPConfig,
    XCLIPModel,
)

from baselines.clip4clip_heads import SeqLstm, SeqTransf, TightTransf

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SIDE = 32
_VISION = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "image_size": SIDE, "patch_size": 8}
_TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}


def scrambled(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The model with weights that the seed alone decides: near 1 where all were 1, as in norms, else near 0."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        base = float((parameter == 1).all())
        parameter.data = base + torch.randn(parameter.shape, generator=generator) * 0.2
    return model.eval()


def clip_tokenizer() -> CLIPTokenizer:
    words = [*CHARACTERS, *(f"{c}</w>" for c in CHARACTERS), "&</w>", "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])


def bert_words() -> list[str]:
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS, *(f"##{c}" for c in CHARACTERS), *"红色连衣裙鞋"]


def save_clip(folder: Path, seed: int = 0) -> Path:
    tokenizer = clip_tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    text = _TEXT | ends | {"num_attention_heads": 2, "vocab_size": len(tokenizer)}
    vision = _VISION | {"num_attention_heads": 2}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    scrambled(model, seed).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    CLIPImageProcessor(**sizes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_xclip(folder: Path, seed: int = 0) -> Path:
    tokenizer = clip_tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    mit = {"mit_hidden_size": 24, "mit_intermediate_size": 48, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 2}
    config = XCLIPConfig(
        text_config=_TEXT | ends | {"num_attention_heads": 2, "vocab_size": len(tokenizer)},
        vision_config=_VISION | mit | {"num_attention_heads": 2, "num_frames": 4},
        projection_dim=24,
        prompt_layers=1,
        prompt_num_attention_heads=2,
    )
    scrambled(XCLIPModel(config), seed).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    VideoMAEImageProcessor(**sizes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_chinese_clip(folder: Path, seed: int = 0) -> Path:
    words = bert_words()
    config = ChineseCLIPConfig(
        text_config=_TEXT | {"num_attention_heads": 2, "vocab_size": len(words), "max_position_embeddings": 64},
        vision_config=_VISION | {"num_attention_heads": 2},
        projection_dim=24,
    )
    scrambled(ChineseCLIPModel(config), seed).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    return folder


def save_clip4clip(path: Path, head: str = "meanP", seed: int = 0) -> Path:
    """A `pytorch_model.bin.N` of mixed types, with the authors' names."""
    generator = torch.Generator().manual_seed(seed)
    width, n_words = 64, len(clip_tokenizer())
    shapes = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": ((SIDE // 8) ** 2 + 1, width),
        "visual.proj": (width, width),
        "visual.conv1.weight": (width, 3, 8, 8),
        "token_embedding.weight": (n_words, width),
        "positional_embedding": (77, width),
        "text_projection": (width, width),
        "logit_scale": (),
    }
    for part in ("visual.ln_pre", "visual.ln_post", "ln_final"):
        shapes |= {f"{part}.weight": (width,), f"{part}.bias": (width,)}
    for block in [f"{tower}transformer.resblocks.{i}" for tower in ("visual.", "") for i in range(2)]:
        for name, rows, columns in (
            ("attn.in_proj_", 3 * width, width),
            ("attn.out_proj.", width, width),
            ("mlp.c_fc.", 4 * width, width),
            ("mlp.c_proj.", width, 4 * width),
        ):
            shapes |= {f"{block}.{name}weight": (rows, columns), f"{block}.{name}bias": (rows,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
    state = {f"clip.{key}": torch.randn(shape, generator=generator) * 0.2 for key, shape in shapes.items()}
    state = {key: value.half() if value.dim() > 1 and "embedding" not in key else value for key, value in state.items()}
    heads = {"seqLSTM": SeqLstm(width), "seqTransf": SeqTransf(width, 2), "tightTransf": TightTransf(width, 4, 2)}
    torch.save(state | (scrambled(heads[head], seed).state_dict() if head in heads else {}), path)
    return path
