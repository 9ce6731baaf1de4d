"""Runs of a few models on the data set `tiny`, and their test rows as a user of a checkpoint would bring them."""

import csv
import shutil

import numpy as np
import pytest
import tiny


class Served:
    """A finished run whose data are gone, and what its test part was."""

    def __init__(self, model, folder, **changed):
        from recbole_marn import quick_start
        from recbole_marn.serving.histories import History

        data = folder / "data"
        tiny.write_dataset(data)
        settings = tiny.settings(data, model, checkpoint_dir=str(folder / "saved"), epochs=1, **changed)
        self.result = quick_start.run(config_dict=settings)
        self.path = self.result["checkpoint"]
        self.events, self.items = tiny.read_events(data), tiny.read_items(data)
        self.vectors = np.load(data / "tiny" / "image.npy").astype(np.float32)
        self.vector_ids = (data / "tiny" / "image.ids").read_text().split()
        self.run = quick_start.load_run(self.path)
        self.expected = self.run.trainer.scores(self.run.test)["score"]
        part = self.run.test.part
        rows = np.arange(len(part))
        columns, events, tokens = part.rows.columns(rows), part.rows.events, part.field2id_token["item_id"]
        # Users are nothing but their histories: each row brings its own.
        self.rows = {
            "user_id": [f"row {row}" for row in rows],
            "item_id": tokens[columns["item"]].tolist(),
            "timestamp": columns["time"].tolist(),
        }
        self.histories = []
        for row in rows:
            event, _ = part.rows.history(rows[row : row + 1])
            self.histories.append(
                History(
                    tokens[events.item[event]].tolist(),
                    events.time[event].tolist(),
                    part.source.behaviour_types[events.behaviour[event]].tolist(),
                )
            )
        shutil.rmtree(data)

    def behaviours(self):
        """The histories as one table."""
        table = {"user_id": [], "item_id": [], "timestamp": [], "kind": []}
        for user, history in zip(self.rows["user_id"], self.histories, strict=True):
            table["user_id"] += [user] * len(history.items)
            table["item_id"] += history.items
            table["timestamp"] += history.times
            table["kind"] += history.behaviours
        return table

    def scorer(self):
        from recbole_marn import load_scorer

        return load_scorer(self.path)


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """A function that trains a model once a session."""
    made = {}

    def served(model="MARN", **changed):
        key = (model, str(sorted(changed.items())))
        if key not in made:
            made[key] = Served(model, tmp_path_factory.mktemp(model), **changed)
        return made[key]

    return served


@pytest.fixture
def served(serve):
    """MARN."""
    return serve()


@pytest.fixture
def scorer(served):
    return served.scorer()


@pytest.fixture(scope="session")
def exported(serve, tmp_path_factory):
    """model -> the run and the folder of its export."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, exc_type=ImportError)
    made = {}

    def export(model="MARN", **changed):
        key = (model, str(sorted(changed.items())))
        if key not in made:
            from recbole_marn.serving.export import export as write

            served = serve(model, **changed)
            folder = tmp_path_factory.mktemp("export") / model
            write(served.scorer(), folder, checkpoint=served.path)
            made[key] = served, folder
        return made[key]

    return export


@pytest.fixture
def write_csv():
    """Writes a mapping of columns."""

    def write(name, columns):
        with open(name, "w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(columns)
            lines.writerows(zip(*columns.values(), strict=True))
        return name

    return write
