"""What every registered model of this package must satisfy, written once. `models/test_all_models.py` runs it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from functools import cached_property
from typing import Any

import numpy as np
import planted
import pytest
import tiny
import torch
from recbole.data import create_dataset
from recbole.utils import get_model

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.data.loader import CTRDataLoader
from recbole_marn.data.part import CTRInteraction
from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.layers.normalisation import ModalityBatchNorm
from recbole_marn.quick_start import Prepared, build_config, prepare_run
from recbole_marn.registry import MODELS, choices, model_class
from recbole_marn.settings.models import CTRSettings
from recbole_marn.settings.parsing import defaults
from recbole_marn.training import checkpoint
from recbole_marn.training import prepared as prepared_module

__all__ = ["OUR_MODELS", "ModelCase", "alone", "grown", "prepared", "shuffled", "unshared"]

OUR_MODELS = [name for name, row in MODELS.items() if row.ours]

SMALL = {
    "width": 8,
    "prediction_hidden": [8],
    "attention_hidden": [4],
    "auxiliary_hidden": [4],
    "cin_layers": [3, 2],
    "modality_attention_size": 4,
}

# Modalities to choose from: two images with missing vectors, a price that may be missing.
SIX = tiny.MODALITIES | {
    "sound": {"kind": "vector", "file": "image.npy", "ids": "image.ids"},
    "price": {"kind": "statistic", "fields": ["price"], "bins": [4], "size": 2},
}
SETS = {
    1: ["image"],
    2: ["ids", "image"],
    4: ["ids", "image", "title", "statistic"],
    6: list(SIX),
}


OF_MODELS = {field.name for row in MODELS.values() for field in dataclasses.fields(row.settings)} - {"id_dropout"}
READ: dict[str, CTRDataset] = {}
UNTOUCHED: dict[str, Prepared] = {}


def read_once(config: Any) -> CTRDataset:
    """The files of a data set, which nobody changes, read once for all models; each run cuts parts of its own."""
    settings = {key: value for key, value in config.final_config_dict.items() if key not in OF_MODELS | {"model"}}
    ragged = getattr(config.model_class, "batch_format", "padded")
    key = repr((sorted(settings.items(), key=str), ragged))
    if key not in READ:
        READ[key] = create_dataset(config)
    return READ[key]


def prepared(name: str, settings: Any, **changed: Any) -> Prepared:
    """Data, model and trainer of model `name` at a tiny size; `settings` is the fixture of that name."""
    known = {field.name for field in dataclasses.fields(MODELS[name].settings)}
    small = {key: value for key, value in SMALL.items() if key in known}
    return of_settings(name, tiny.NAME, settings(name, **small | changed))


def of_settings(name: str, dataset: str, settings: dict[str, Any]) -> Prepared:
    """Data, model and trainer; the files are read once for all models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared_module, "create_dataset", read_once)
        return prepare_run(build_config(name, dataset, config_dict=settings), quiet=True)


# -------------------------------------------------------------------------- the same rows in other batches
def shuffled(interaction: CTRInteraction, order: torch.Tensor) -> CTRInteraction:
    """The same rows in another order, and with `order` shorter than the batch only some of them."""
    batch = interaction.batch
    columns = {name: value[order] for name, value in interaction.interaction.items()}
    chosen = {"row_sequence": batch.row_sequence[order], "candidate": batch.candidate[order]}
    if batch.context is not None:
        chosen["context"] = batch.context[order]
    return CTRInteraction(columns, dataclasses.replace(batch, **chosen))


def unshared(interaction: CTRInteraction) -> CTRInteraction:
    """The same rows, each with a copy of its history to itself."""
    batch = interaction.batch
    token, _ = expand_rows(batch.length, batch.row_sequence)
    own = dataclasses.replace(
        batch,
        token=batch.token[token],
        length=batch.length[batch.row_sequence],
        row_sequence=torch.arange(batch.n_rows),
        behaviour=None if batch.behaviour is None else batch.behaviour[token],
        gap=None if batch.gap is None else batch.gap[token],
    )
    return CTRInteraction(interaction.interaction, own)


def alone(dataset: Any, row: int) -> CTRInteraction:
    """A batch of one row."""
    return dataset.batch(np.array([row]))


def grown(batch: RaggedBatch) -> RaggedBatch:
    """The same rows with an empty history that nobody reads in front, where padding would be."""
    return dataclasses.replace(
        batch,
        length=torch.cat([torch.zeros(1, dtype=torch.int64), batch.length]),
        row_sequence=batch.row_sequence + 1,
    )


class ModelCase:
    """Inherited tests; a sub-class gives the fixture `name`."""

    # ------------------------------------------------------------------------------------------- the table
    def test_is_in_the_table_with_settings_and_paper(self, name):
        row = MODELS[name]
        assert issubclass(row.settings, CTRSettings) == model_class(name).makes_item_vectors
        assert row.paper
        assert model_class(name).__doc__

    def test_its_file_of_settings_has_what_deviates(self, name):
        row, own = MODELS[name], choices("model", name)
        known = defaults(row.settings)
        deviating = [key for key, value in own.items() if key not in known or value != known[key]]
        assert deviating if row.preset_of else len(deviating) == len(own), "a preset may repeat what tells it apart"

    def test_recbole_finds_it_by_name_and_pickle_too(self, name):
        found = get_model(name)
        assert found.__name__ == name
        assert pickle.loads(pickle.dumps(found)) is found is model_class(name)

    # -------------------------------------------------------------------------------------------- batches
    @pytest.fixture
    def parts(self, name, settings):
        """Prepared once; each test may do with the model what it likes."""
        if name not in UNTOUCHED:
            UNTOUCHED[name] = prepared(name, settings)
        return dataclasses.replace(UNTOUCHED[name], model=copy.deepcopy(UNTOUCHED[name].model))

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_scores_of_rows_do_not_hang_on_the_batch(self, parts, part):
        """Statistics at the row's time in training, snapshots and kept vectors in evaluation."""
        model, dataset = parts.model, getattr(parts, part).part
        rows = np.arange(min(24, len(dataset)))
        batch = dataset.batch(rows)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        model.train(part == "train")
        for module in model.modules():  # what batch normalisation is for; its moments have tests of their own
            if isinstance(module, ModalityBatchNorm):
                module.eval()
        with torch.no_grad():
            score = model.predict(batch)
            assert score.shape == (len(rows),)
            assert ((score > 0) & (score < 1)).all()
            assert len(score.unique()) > 1
            same = {
                "row order": (model.predict(shuffled(batch, order)), score[order]),
                "histories nobody reads": (model.predict(shuffled(batch, order[:3])), score[order[:3]]),
                "histories of their own": (model.predict(unshared(batch)), score),
                "empty histories": (
                    model.predict(CTRInteraction(batch.interaction, grown(batch.batch))),
                    score,
                ),
                "a batch of one": (torch.cat([model.predict(alone(dataset, row)) for row in rows]), score),
            }
        for what, (other, expected) in same.items():
            assert torch.allclose(other, expected, atol=1e-6), what

    def test_losses_count_shared_histories_once_a_row(self, parts):
        """The sum of the losses is that of rows that carry their own histories."""
        batch = parts.train.part.batch(np.arange(24))
        both = []
        for rows in (batch, unshared(batch)):
            parts.model.step, parts.model.total_steps = 1, 2  # at the very start lambda is 0
            both.append(torch.stack(parts.model.calculate_loss(rows)))
        # DIEN pairs each behaviour with one of another history, and which is which depends on the copies.
        kept = [index for index, loss in enumerate(parts.model.loss_names) if loss != "auxiliary"]
        assert torch.allclose(both[0][kept], both[1][kept], atol=1e-6)

    def test_exchanged_images_change_the_scores_of_models_that_see_them(self, parts):
        model, batch = parts.model.eval(), parts.test.part.batch(np.arange(12))
        before = model.predict(batch)
        sees_images = model.makes_item_vectors and "image" in model.encoder.names
        if sees_images:
            matrix = model.encoder.frozen["image_matrix"]
            matrix.copy_(matrix.roll(1, dims=0))
            model.train().eval()
        changed = not torch.allclose(before, model.predict(batch), atol=1e-6)
        assert changed == sees_images

    # ------------------------------------------------------------------------------------------- training
    def test_gradients_reach_every_parameter(self, parts):
        model = parts.model.double()  # so that what is rounding is told from what is small
        model.step, model.total_steps = 1, 2  # at the very start lambda is 0
        rows = np.arange(len(parts.train.part))
        sum(model.calculate_loss(parts.train.part.batch(rows))).backward()
        unreached = {n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-9}
        # Normalisation takes off what an alignment adds.
        biases = {n for n, _ in model.named_parameters() if n.endswith("align.bias")}
        cancelled = biases if model.makes_item_vectors and model.encoder.norm else set()
        assert unreached == cancelled
        assert all(p.grad.isfinite().all() for p in model.parameters())

    @pytest.mark.parametrize("n_modalities", SETS)
    def test_any_set_of_modalities_with_missing_vectors(self, name, settings, n_modalities):
        parts = prepared(name, settings, modalities=SIX, use_modalities=SETS[n_modalities])
        model, batch = parts.model, parts.train.part.batch(np.arange(40))
        assert not parts.train.part.item_table.present.all(), "the data set has no missing vector"
        losses = model.calculate_loss(batch)
        sum(losses).backward()
        assert all(loss.isfinite() for loss in losses)
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        assert model.eval().predict(batch).isfinite().all()

    def test_vectors_of_items_are_those_that_are_scored(self, parts):
        model = parts.model.eval()
        if not model.makes_item_vectors:
            pytest.skip("a scorer has no item vectors")
        some = torch.tensor([3, 1, 7])
        each = torch.cat([model.item_vectors(item[None]) for item in some])
        model.train().eval()
        assert torch.allclose(model.item_vectors()[some], each, atol=1e-6)
        assert each.shape == (3, model.vector_size)

    # ---------------------------------------------------------------------------------- what it is all for
    def test_finds_the_modality_that_decides_the_click(self, name, planted_paths):
        if not model_class(name).makes_item_vectors:
            pytest.skip("a scorer sees no modality")
        run = PlantedRun(name, planted_paths, epochs=2)
        assert run.auc() > 0.9
        if run.seen == "image":
            matrix = run.model.encoder.frozen["image_matrix"]
            matrix.copy_(matrix[torch.randperm(len(matrix), generator=torch.Generator().manual_seed(0))])
            run.model.train().eval()
            assert abs(run.auc() - 0.5) < run.error_of_chance, "something else than the image decided"

    def test_learns_nothing_where_nothing_decides(self, name, planted_paths):
        run = PlantedRun(name, planted_paths, epochs=1, taste=False)
        assert abs(run.auc() - 0.5) < run.error_of_chance

    def test_trained_saved_and_loaded_it_scores_the_same(self, name, settings):
        trained = prepared(name, settings, epochs=1)
        trained.trainer.fit(trained.train, trained.valid, saved=True, verbose=False)
        expected = trained.trainer.scores(trained.test)["score"]
        trained.trainer.model = copy.deepcopy(trained.model)  # as RecBole does to count operations
        assert np.array_equal(trained.trainer.scores(trained.test)["score"], expected)
        loaded = prepared(name, settings, epochs=1)
        for parameter in loaded.model.parameters():
            torch.nn.init.normal_(parameter)
        loaded.model.load_state_dict(checkpoint.load(trained.trainer.saved_model_file)["state_dict"])
        assert np.array_equal(loaded.trainer.scores(loaded.test)["score"], expected)


class PlantedRun:
    """A model trained on planted data, for a few seconds."""

    def __init__(self, name: str, paths: dict[str, Any], *, epochs: int, taste: bool = True):
        self.seen = "ids" if name == "BaseModelIDs" else "image"
        known = {field.name for field in dataclasses.fields(MODELS[name].settings)}
        sizes = SMALL | {"width": 16, "prediction_hidden": [32]}
        small = {key: value for key, value in sizes.items() if key in known}
        settings = tiny.settings(
            paths[self.seen if taste else "nothing"],
            name,
            **small
            | {
                # Less to learn by heart with, more to see with.
                "modalities": tiny.MODALITIES | {"ids": {"kind": "id", "fields": {"item_id": 2, "category": 6}}},
                "eval_negatives": 10,
                "train_batch_size": 128,
                "eval_batch_size": 4096,
                "epochs": epochs,
                "eval_step": epochs,
                "MAX_ITEM_LIST_LENGTH": 6,
            },
        )
        self.run = of_settings(name, planted.NAME, settings)
        self.model = self.run.model
        for name in ("train", "valid", "test"):
            part = planted.with_negatives(getattr(self.run, name).part, taste=taste)
            setattr(self.run, name, CTRDataLoader(self.run.config, part, shuffle=name == "train"))
        self.run.trainer.fit(self.run.train, self.run.valid, saved=False, verbose=False)

    def auc(self) -> float:
        return self.run.trainer.evaluate(self.run.test, load_best_model=False)["uauc"]

    @cached_property
    def error_of_chance(self) -> float:
        """Four standard errors of the mean over users of the AUC of one positive and K negatives at random."""
        n_users, k = self.run.test.part.rows.negatives.shape
        return 4 * ((k + 2) / (12 * k) / n_users) ** 0.5
