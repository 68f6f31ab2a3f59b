"""What stands instead of weights is weights, or is refused in a sentence; and a model has all of its own."""

import ast
import json
import re
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertModel, CLIPModel, ViTConfig, ViTForImageClassification

from baselines.clip4clip_checkpoint import read_clip4clip
from cope.released import load_released
from rope.encoders.chinese_clip import read_checkpoint
from rope.encoders.weights import check_weights, fill, loading, read_content, read_state
from rope.errors import UsageError
from tests.baselines.checkpoints import save_clip

SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


class Anything:
    """An object that no unpickling without running code gives back."""


def whole(folder):
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, folder / "whole.pt")
    return (folder / "whole.pt").read_bytes()


def script(folder):
    with zipfile.ZipFile(folder / "script.pt", "w") as archive:  # as torch.jit.save lays it out
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"script/{name}", b"")
    return (folder / "script.pt").read_bytes()


def objects(folder):
    torch.save({"state_dict": {"a": Anything()}}, folder / "objects.pt")
    return (folder / "objects.pt").read_bytes()


def tensors(folder):
    save_file({"a": torch.zeros(1000)}, folder / "tensors.safetensors")
    return (folder / "tensors.safetensors").read_bytes()


def archive_of_arrays(folder):
    with zipfile.ZipFile(folder / "arrays.npz", "w") as archive:
        archive.writestr("a.npy", b"")
    return (folder / "arrays.npz").read_bytes()


BAD = {
    "empty": (lambda folder: b"", "is empty"),
    "pointer": (lambda folder: POINTER, "pointer of Git LFS"),
    "page": (lambda folder: b"\n<!DOCTYPE html><html>404</html>", "is a web page"),
    "cut": (lambda folder: whole(folder)[:900], "is cut off or damaged"),
    "script": (script, "is a TorchScript archive"),
    "objects": (objects, r"without running code of it \(tests.encoders.test_weights.Anything\)"),
    "cut tensors": (lambda folder: tensors(folder)[:-10], "cannot be read as safetensors"),
    "cut header": (lambda folder: tensors(folder)[:20], "cannot be read as safetensors"),
    "zip": (archive_of_arrays, r"is a zip archive of a\.npy"),
    "gzip": (lambda folder: b"\x1f\x8b\x08\x00 rest", "is a compressed archive"),
    "json": (lambda folder: b'{"a": 1}', "cannot be read as weights"),
    "words": (lambda folder: b"not found", "cannot be read as weights"),
    "zeros": (lambda folder: bytes(4096), "cannot be read as weights"),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("read", [read_checkpoint, read_clip4clip, load_released])
@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_file_of_weights_is_refused_in_a_sentence(kind, read, tmp_path):
    make, message = BAD[kind]
    (tmp_path / "model.pt").write_bytes(make(tmp_path))
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path / "model.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'model.pt'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_checkpoint, read_clip4clip, load_released])
def test_a_folder_or_nothing_in_the_place_of_weights_is_refused(read, tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "none.pt")


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize(
    "wrap", [dict, lambda state: {"state_dict": state, "epoch": 3}, lambda state: {"model": state}]
)
def test_a_checkpoint_may_hold_more_than_its_weights(prefix, wrap, tmp_path):
    torch.save(wrap({f"{prefix}a": torch.ones(2), f"{prefix}b": torch.ones(1)}), tmp_path / "model.pt")
    assert list(read_state(tmp_path / "model.pt", "weights")) == ["a", "b"]


def test_safetensors_are_read_under_any_name(tmp_path):
    (tmp_path / "model.pt").write_bytes(tensors(tmp_path))
    assert read_state(tmp_path / "model.pt", "weights")["a"].shape == (1000,)
    assert isinstance(read_content(tmp_path / "model.pt", "weights"), dict)


@pytest.mark.parametrize("content", [{}, [1], {"a": 1}, {"state_dict": {"a": "text"}}])
def test_a_file_without_tensors_by_name_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(UsageError, match="expected weights"):
        read_state(tmp_path / "model.pt", "weights")


def test_a_model_is_given_all_of_its_weights_and_the_others_are_named(capsys):
    layer = nn.Linear(2, 1)
    fill(layer, {"weight": torch.ones(1, 2), "bias": torch.ones(1), "extra": torch.ones(1)}, "a file")
    assert torch.equal(layer.weight, torch.ones(1, 2))
    assert capsys.readouterr().err == "note: a file: 1 weight of the file is not used: extra\n"
    with pytest.raises(UsageError, match="a file: the weights do not fit the model: bias is missing"):
        fill(layer, {"weight": torch.ones(1, 2)}, "a file")


def test_the_first_few_faults_are_named_and_the_others_counted():
    with pytest.raises(UsageError, match=r"a is missing; b is missing; c is missing and 2 more"):
        check_weights({}, dict.fromkeys("abcde", torch.zeros(1)), "file")


def bert(folder):
    model = BertModel(BertConfig(**SMALL, vocab_size=20))
    model.save_pretrained(folder)
    return model


def load(kind, folder):
    with loading(str(folder), "transformers"):
        return kind.from_pretrained(folder)


def without(model, folder, *names):
    state = {name: weight for name, weight in model.state_dict().items() if name not in names}
    model.save_pretrained(folder, state_dict=state)


def test_weights_that_a_checkpoint_lacks_are_named(tmp_path):
    without(bert(tmp_path), tmp_path, "pooler.dense.bias", "encoder.layer.1.output.dense.weight")
    with (
        pytest.raises(UsageError, match=r"lacks 2 weights .*: encoder\.layer\.1\.output\.dense\.weight, pooler\.dense"),
        loading(str(tmp_path), "transformers"),
    ):
        BertModel.from_pretrained(tmp_path)


def test_what_may_be_lacking_is_told_and_the_same_each_time(tmp_path, capsys):
    BertForMaskedLM(BertConfig(**SMALL, vocab_size=20)).save_pretrained(tmp_path)
    models = []
    for _ in range(2):
        with loading(str(tmp_path), "transformers", may_lack=r"pooler\..*") as found:
            models.append(BertModel.from_pretrained(tmp_path))
    assert found.lacking == ("pooler.dense.bias", "pooler.dense.weight")
    assert all(torch.equal(a, b) for a, b in zip(*(model.state_dict().values() for model in models), strict=True))
    assert "not used: cls.predictions.bias" in capsys.readouterr().err


def test_tied_weights_and_those_in_half_precision_are_no_fault(tmp_path):
    model = BertForMaskedLM(BertConfig(**SMALL, vocab_size=20)).bfloat16()
    model.save_pretrained(tmp_path)
    with loading(str(tmp_path), "transformers"):
        loaded = BertForMaskedLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert torch.equal(loaded.cls.predictions.decoder.weight, loaded.bert.embeddings.word_embeddings.weight)


def test_a_weight_of_another_size_is_named(tmp_path):
    bert(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 30}), "utf-8")
    with pytest.raises(UsageError, match=r"word_embeddings\.weight is \[20, 32\], expected \[30, 32\]"):
        load(BertModel, tmp_path)


def test_a_projection_that_is_missing_is_named(tmp_path):
    model = CLIPModel.from_pretrained(save_clip(tmp_path))
    without(model, tmp_path, "visual_projection.weight")
    with pytest.raises(UsageError, match=r"lacks 1 weight of the model: visual_projection\.weight"):
        load(CLIPModel, tmp_path)


def test_a_shard_that_is_missing_is_named(tmp_path):
    bert(tmp_path).save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    shard = sorted(tmp_path.glob("model-0*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(UsageError, match=f"{shard.name} is missing, which model.safetensors.index.json names"):
        load(BertModel, tmp_path)


@pytest.mark.parametrize("content", [POINTER, b"<html>404</html>", b"", struct.pack("<Q", 99) + b"{"])
def test_a_file_of_a_models_folder_that_is_none_is_named(content, tmp_path):
    bert(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match=r"transformers cannot load it: model\.safetensors (is|cannot)"):
        load(BertModel, tmp_path)


def test_a_pointer_in_the_place_of_a_configuration_is_named(tmp_path):
    bert(tmp_path)
    (tmp_path / "config.json").write_bytes(POINTER)
    with pytest.raises(UsageError, match=r"config\.json is a pointer of Git LFS"):
        load(BertModel, tmp_path)


def test_nothing_is_left_of_the_watch_over_transformers(tmp_path):
    folder = tmp_path / "vit"
    ViTForImageClassification(ViTConfig(**SMALL, image_size=16, patch_size=8)).save_pretrained(folder)
    before = ViTForImageClassification.from_pretrained.__func__
    with loading(str(folder), "transformers"):
        assert ViTForImageClassification.from_pretrained.__func__ is not before
    assert ViTForImageClassification.from_pretrained.__func__ is before


ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("rope", "baselines", "cope") for path in (ROOT / package).rglob("*.py"))
DOOR = ROOT / "rope" / "encoders" / "weights.py"


def loads_outside_of_the_door(source: str) -> list[str]:
    """Calls that read weights from a file, or have transformers load a model outside of `with loading(...)`."""
    tree = ast.parse(source)
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
    watched = [block for block in blocks if any("loading(" in ast.unparse(item) for item in block.items)]
    inside = {id(node) for block in watched for node in ast.walk(block)}
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in inside]
    reads = r"torch\.load|(safetensors\.torch\.)?load_file|.*(Model|Model\w+|For\w+)\.from_pretrained"
    return [call for call in calls if re.fullmatch(reads, call)]


def test_weights_come_in_by_one_door_alone():
    found = {path: loads_outside_of_the_door(path.read_text("utf-8")) for path in SOURCES if path != DOOR}
    assert {path.name: calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize("source", ["torch.load(path)", "with open(x):\n    AutoModel.from_pretrained(x)"])
def test_another_door_would_be_seen(source):
    assert loads_outside_of_the_door(source)
