"""docs/models.md on MAKE (Sheng et al., CIKM 2024): vectors that a content model learned, handed to the next model."""

import json
import os

import numpy as np
import planted
import pytest
import tiny

from recbole_marn import cli, load_scorer

CONTENT = {"image": tiny.MODALITIES["image"]}
HANDED = {
    "ids": {"kind": "id", "fields": {"item_id": 4}},
    "make": {"kind": "vector", "file": "make.npy", "ids": "make.ids"},
}


def run(capsys, folder, model, modalities):
    """What the command line says of a run on the planted data set."""
    settings = tiny.settings(
        folder, model, dataset=planted.NAME, modalities=modalities, behaviour=None, epochs=5, eval_negatives=10
    )
    file = folder / f"{model}.json"  # JSON is YAML
    file.write_text(json.dumps(settings))
    assert cli.main(["run", f"--model={model}", f"--dataset={planted.NAME}", f"--config_files={file}"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
def test_vectors_of_a_content_model_serve_the_next_one(tmp_path, capsys, monkeypatch):
    """Half of the negatives are of the positive's kind, which nobody can tell apart: .75 is what can be reached."""
    monkeypatch.chdir(tmp_path)
    planted.write_planted(tmp_path, by="image")
    scorer = load_scorer(run(capsys, tmp_path, "MultimodalDIN", CONTENT)["checkpoint"])
    data = tmp_path / planted.NAME
    np.save(data / "make.npy", scorer.item_vectors(scorer.items))
    (data / "make.ids").write_text("\n".join(scorer.items), encoding="utf-8")
    os.remove(data / "image.npy")  # nothing but the learned vectors shows what is liked
    found = run(capsys, tmp_path, "SimTier", HANDED)["test"]["UAUC"]
    rng = np.random.default_rng(0)
    np.save(data / "make.npy", rng.normal(size=(len(scorer.items), tiny.OURS["width"])).astype(np.float32))
    assert found > 0.65 > 0.6 > run(capsys, tmp_path, "SimTier", HANDED)["test"]["UAUC"]
