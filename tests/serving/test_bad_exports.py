"""Folders that are no export, or somebody else's: told before anything is used, and no code of theirs runs."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import sealed_text

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, exc_type=ImportError)

from recbole_marn.serving.exported import ExportedScorer  # noqa: E402


@pytest.fixture(scope="module")
def export(serve, tmp_path_factory):
    from recbole_marn.serving.export import export as write

    folder = tmp_path_factory.mktemp("export") / "MARN"
    write(serve().scorer(), folder)
    return folder


def copied(export, **files):
    """The export under `copy` with other files, and a manifest that says they are right."""
    shutil.copytree(export, "copy")
    manifest = json.loads(Path("copy/manifest.json").read_text())
    for name, content in files.items():
        name = name.replace("_", ".")
        (Path("copy") / name).write_bytes(content)
        manifest["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
    Path("copy/manifest.json").write_text(sealed_text(manifest))


def saved(array):
    np.save("array.npy", array, allow_pickle=True)
    return Path("array.npy").read_bytes()


class Dropper:
    def __reduce__(self):
        return os.mkdir, ("dropped",)


def test_another_models_vectors(export):
    shutil.copytree(export, "copy")
    vectors = np.load("copy/items.npy")
    np.save("copy/items.npy", vectors[::-1])
    with pytest.raises(InputError, match="items.npy as it was exported"):
        ExportedScorer("copy")
    shutil.rmtree("copy")
    copied(export, items_npy=saved(vectors[:-1]))
    with pytest.raises(InputError, match="one vector an id"):
        ExportedScorer("copy")


def test_pickled_vectors_run_nothing(export):
    copied(export, items_npy=saved(np.array([Dropper()], dtype=object)))
    with pytest.raises(InputError, match=r"a whole \.npy file of item vectors"):
        ExportedScorer("copy")
    assert not Path("dropped").exists()


def test_a_graph_of_foreign_operators_and_what_is_no_graph(export):
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    node = helper.make_node("Open", ["x"], ["y"], domain="somebody.else")
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("somebody.else", 1)]
    for content in (helper.make_model(graph, opset_imports=sets).SerializeToString(), b"import os", b""):
        copied(export, scorer_onnx=content)
        with pytest.raises(InputError, match="a graph that ONNX Runtime .* can run in copy"):
            ExportedScorer("copy")
        shutil.rmtree("copy")


def test_files_outside_the_folder_are_not_read(export):
    shutil.copytree(export, "copy")
    manifest = json.loads(Path("copy/manifest.json").read_text())
    manifest["files"]["../secret"] = {"sha256": "0", "bytes": 1}
    Path("copy/manifest.json").write_text(sealed_text(manifest))
    with pytest.raises(InputError, match="one folder"):
        ExportedScorer("copy")


def test_figures_of_the_manifest_that_were_altered(export):
    shutil.copytree(export, "copy")
    manifest = Path("copy/manifest.json")
    told = json.loads(manifest.read_text())
    told["parity"]["largest_difference"] = 0.0
    manifest.write_text(json.dumps(told))
    with pytest.raises(InputError, match="copy/manifest.json as it was exported .*another content"):
        ExportedScorer("copy")
    manifest.write_text(sealed_text(told))
    ExportedScorer("copy")
    manifest.write_text("[" * 100_000)
    with pytest.raises(InputError, match="none that can be read"):
        ExportedScorer("copy")


def without(entry):
    """The plain data of the codes of an export without an entry, whose name may lead into one."""

    def changed(codes):
        *path, last = entry.split(".")
        for name in path:
            codes = codes[name]
        del codes[last]

    return changed


def renamed(codes):
    codes["needs"]["kinds"] = codes["needs"].pop("kind")


@pytest.mark.parametrize(("change", "told"), [
    (without("modalities.ids.bags"), "KeyError: 'bags'"), (without("click_rates"), "KeyError: 'click_rates'"),
    (without("never_shown"), "'never_shown'"), (without("modalities.title.vocabulary"), "'vocabulary'"),
    (without("modalities.ids.settings.kind"), "'kind'"), (without("shown.about"), "'about'"), (renamed, "'kinds'"),
])  # fmt: skip
def test_an_export_that_another_version_wrote(export, change, told):
    from recbole_marn.serving.exported_items import ItemTower
    from recbole_marn.serving.service.shown import Shown

    codes = json.loads((export / "codes.json").read_text())
    change(codes)
    copied(export, codes_json=json.dumps(codes).encode())
    with pytest.raises(InputError, match="copy/codes.json with the entries that this version") as error:
        scorer = ExportedScorer("copy")
        ItemTower(Path("copy"), scorer)
        Shown.of(Path("copy"), scorer.items)
    assert told in error.value.got and "recbole-marn export CHECKPOINT" in error.value.hint


def test_an_export_without_what_people_see(export):
    from recbole_marn.serving.service.shown import Shown

    shutil.copytree(export, "copy")
    Path("copy/items.shown.jsonl").unlink()
    with pytest.raises(InputError, match=r"an export with items\.shown\.jsonl in copy\. Got one without"):
        Shown.of(Path("copy"), [])


def test_a_graph_that_asks_for_what_nobody_has(export):
    import onnx

    model = onnx.load(export / "scorer.onnx")
    model.graph.input.append(onnx.helper.make_tensor_value_info("weather", onnx.TensorProto.FLOAT, [1]))
    copied(export, scorer_onnx=model.SerializeToString())
    with pytest.raises(InputError, match="a graph of behaviour, candidate.* Got weather"):
        ExportedScorer("copy")


@pytest.mark.parametrize("files", ['{"codes.json": 1}', "[]", '{"codes.json": {}}'])
def test_manifests_that_are_none(export, files):
    shutil.copytree(export, "copy")
    Path("copy/manifest.json").write_text(f'{{"format": 1, "files": {files}}}')
    with pytest.raises(InputError, match="Expected a"):
        ExportedScorer("copy")
