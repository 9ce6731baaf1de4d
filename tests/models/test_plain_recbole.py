"""Our models under RecBole's own `Trainer`, which tells them nothing: the schedule must know where it stands."""

import pytest
import torch
from cases import prepared
from recbole.trainer import Trainer

from recbole_marn.layers.adversarial import adversarial_schedule

# RecBole makes a gradient scaler by a name torch has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*GradScaler.*:FutureWarning")


@pytest.fixture
def followed(settings):
    """A function that trains and gives the model and its progress at every step."""

    def train(with_recbole, name="MARN", epochs=3, **switches):
        parts = prepared(name, settings, epochs=epochs, metrics=["AUC"], valid_metric="AUC", **switches)
        trainer = Trainer(parts.config, parts.model) if with_recbole else parts.trainer
        seen, calculate_loss = [], parts.model.calculate_loss

        def watching(interaction):
            seen.append(parts.model.progress)
            return calculate_loss(interaction)

        parts.model.calculate_loss = watching
        trainer.fit(parts.train, parts.valid, saved=False, verbose=False)
        return parts, trainer, seen

    return train


def expected(n_steps, total):
    return [min(1.0, step / total) for step in range(n_steps)]


@pytest.mark.parametrize("with_recbole", [True, False])
def test_progress_runs_evenly_from_0_to_1(followed, with_recbole):
    parts, _, seen = followed(with_recbole)
    total = 3 * len(parts.train)
    assert len(parts.train) > 2
    assert seen == expected(total, total)
    assert parts.model.step == total and parts.model.progress == 1.0


def test_lambda_does_not_jump(followed):
    parts, _, seen = followed(True)
    weights = [adversarial_schedule(progress, 1.0) for progress in seen]
    assert weights[0] == 0.0 and weights == sorted(weights)
    # Its steepest rise is at the start: gamma / 2 in the unit of the whole training.
    assert max(b - a for a, b in zip(weights, weights[1:], strict=False)) <= 5 / (3 * len(parts.train))


@pytest.mark.parametrize("with_recbole", [True, False])
def test_adversary_epochs_end_the_schedule_early(followed, with_recbole):
    parts, _, seen = followed(with_recbole, adversary_epochs=2)
    assert seen == expected(3 * len(parts.train), 2 * len(parts.train))


def test_whole_groups_make_the_batches_that_are_counted(followed):
    """Batches hold whole groups of a positive and its negatives, so that they are fewer than the rows suggest."""
    parts, _, seen = followed(True, train_batch_size=19, train_negatives=4, epochs=2)
    assert len(parts.train) == -(-parts.train._dataset.rows.n_groups // 3)
    assert seen == expected(2 * len(parts.train), 2 * len(parts.train))


@pytest.mark.parametrize("name", ["Popularity", "NAML", "MultimodalDIEN"])
def test_others_train_and_are_evaluated_there_too(followed, name):
    parts, trainer, seen = followed(True, name, epochs=2)
    assert parts.model.step == len(seen) == 2 * len(parts.train)
    assert 0 <= trainer.best_valid_result["auc"] <= 1


def test_evaluation_between_epochs_and_looking_at_losses_move_nothing(followed):
    parts, trainer, _ = followed(True, epochs=1)
    step = parts.model.step
    interaction = next(iter(parts.train))
    parts.model.train()
    torch.stack(parts.model.calculate_loss(interaction))
    trainer.evaluate(parts.test, load_best_model=False)
    assert parts.model.step == step
