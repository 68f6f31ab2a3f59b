"""Small random checkpoints of the models that people put instead of COPE's towers, in the formats of the real."""

from pathlib import Path

from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    BitImageProcessor,
    Dinov2Config,
    Dinov2Model,
    MobileNetV2Config,
    MobileNetV2ImageProcessor,
    MobileNetV2Model,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    VideoMAEConfig,
    VideoMAEImageProcessor,
    VideoMAEModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from tests.baselines.checkpoints import SIDE, bert_words, scrambled

_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_SQUARE = {"height": SIDE, "width": SIDE}


def _tokenizer(folder: Path) -> None:
    BertTokenizer(vocab={word: i for i, word in enumerate(bert_words())}).save_pretrained(folder)


def save_siglip(folder: Path) -> Path:
    """SigLIP 2 of a fixed size is a SigLIP in its layers."""
    vision = _SIZES | {"image_size": SIDE, "patch_size": 16}
    text = _SIZES | {"vocab_size": len(bert_words()), "max_position_embeddings": 16, "projection_size": 32}
    scrambled(SiglipModel(SiglipConfig(text_config=text, vision_config=vision)), 0).save_pretrained(folder)
    SiglipImageProcessor(size=_SQUARE).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def save_mobilenet(folder: Path) -> Path:
    config = MobileNetV2Config(depth_multiplier=0.1, min_depth=8, depth_divisible_by=8, image_size=SIDE)
    scrambled(MobileNetV2Model(config), 0).save_pretrained(folder)
    MobileNetV2ImageProcessor(size={"shortest_edge": SIDE + 4}, crop_size=_SQUARE).save_pretrained(folder)
    return folder


def save_dinov2(folder: Path) -> Path:
    scrambled(Dinov2Model(Dinov2Config(**_SIZES, image_size=SIDE, patch_size=16)), 0).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": SIDE}, crop_size=_SQUARE).save_pretrained(folder)
    return folder


def save_videomae(folder: Path, n_frames: int = 2) -> Path:
    config = VideoMAEConfig(**_SIZES, image_size=SIDE, patch_size=16, num_frames=n_frames, tubelet_size=2)
    scrambled(VideoMAEModel(config), 0).save_pretrained(folder)
    VideoMAEImageProcessor(size={"shortest_edge": SIDE}, crop_size=_SQUARE).save_pretrained(folder)
    return folder


def save_bert(folder: Path) -> Path:
    scrambled(BertModel(BertConfig(**_SIZES, vocab_size=len(bert_words()))), 0).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def save_xlm_roberta(folder: Path) -> Path:
    """As multilingual E5 is."""
    model = XLMRobertaModel(XLMRobertaConfig(**_SIZES, vocab_size=len(bert_words()), max_position_embeddings=80))
    scrambled(model, 0).save_pretrained(folder)
    _tokenizer(folder)
    return folder
