"""Training of every model on our rows: named losses, optimizers, diagnostics, and a resume that changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.evaluator.collector import Collector
from recbole.trainer import Trainer
from recbole.utils import EvaluatorType, set_color
from torch import Tensor, optim

from recbole_marn import checkpoint
from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import uauc
from recbole_marn.optimizers import build_adagrad, build_adam, read_by_row
from recbole_marn.registration import plain_config
from recbole_marn.settings import TrainSettings, from_mapping

__all__ = ["UAUC", "CTRTrainer", "run_name"]

# Settings that do not change what a run computes, so that a resumed run may differ in them.
INCIDENTAL = {"show_progress", "resume", "device", "gpu_id", "use_gpu", "state", "worker", "checkpoint_dir"}
INCIDENTAL |= {"data_path", "log_wandb", "wandb_project", "also_test", "verbose", "config_files", "run_name"}
INCIDENTAL |= {"nproc", "saved", "threads", "probe_every"}


def run_name(config: Any) -> str:
    """`MODEL-dataset-seed-hash`: the same settings give the same name, whenever and wherever they run."""
    settings = {key: value for key, value in plain_config(config).items() if key not in INCIDENTAL}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    return f"{config['model']}-{config['dataset']}-{config['seed']}-{digest[:8]}"


class UAUC:
    """RecBole metric: unweighted mean of per-user AUC, ties 0.5 (paper eq. 11)."""

    metric_type = EvaluatorType.VALUE
    metric_need = ["rec.score", "data.label", "data.uid"]
    smaller = False

    def __init__(self, config: Any):
        self.decimal_place = config["metric_decimal_place"]

    def calculate_metric(self, data: Any) -> dict[str, float]:
        value = uauc(data.get("data.uid").numpy(), data.get("data.label").numpy(), data.get("rec.score").numpy())
        return {"uauc": round(float(value), self.decimal_place)}


class _UserCollector(Collector):
    """RecBole's collector, which also keeps whose row each score is."""

    def eval_batch_collect(self, scores: Tensor, interaction: Any, positive_u: Any, positive_i: Any) -> None:
        super().eval_batch_collect(scores, interaction, positive_u, positive_i)
        self.data_struct.update_tensor("data.uid", interaction[self.config["USER_ID_FIELD"]])

    def get_data_struct(self) -> Any:
        collected = super().get_data_struct()
        del self.data_struct["data.uid"]
        return collected


class CTRTrainer(Trainer):
    """RecBole's trainer for rows of `CTRDataset`, for this package's models and RecBole's own.

    Every source of randomness in an epoch is a function of the seed and the epoch. The state after each epoch is
    written whole to `<run>.last.pth`, the best model so far to `<run>.pth`; with `resume` a run goes on from the
    last finished epoch and ends as if it had never stopped.
    """

    def __init__(self, config: Any, model: Any):
        self.settings = from_mapping(TrainSettings, config.final_config_dict, complete=False)
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        super().__init__(config, model)
        self.eval_collector = _UserCollector(config)
        self.run_name = self.settings.run_name or run_name(config)
        self.saved_model_file = os.path.join(self.checkpoint_dir, f"{self.run_name}.pth")
        self.state_file = os.path.join(self.checkpoint_dir, f"{self.run_name}.last.pth")
        self.history: list[dict[str, Any]] = []
        self._split_sha256 = ""
        self._keep_state = False
        self._valid_data: Any = None
        self._probes: list[dict[str, Any]] = []

    # ----------------------------------------------------------------------------------------- optimizer
    def _build_optimizer(self, **kwargs: Any) -> optim.Optimizer:
        """AdaGrad with the paper's accumulator and Adam run fused; the rest is RecBole's."""
        learner = kwargs.get("learner", self.learner).lower()
        if learner not in ("adam", "adagrad"):
            return super()._build_optimizer(**kwargs)
        rate, decay = self.learning_rate, self.weight_decay
        groups = parameters_by_rate(kwargs.get("params"), self.model)
        if learner == "adam":
            return build_adam(groups, rate=rate, weight_decay=decay)
        # Weight decay and the norm of all gradients concern every row; other processes send dense gradients.
        may_be_sparse = not decay and not self.clip_grad_norm and self.config["single_spec"]
        by_row = read_by_row(self.model) if may_be_sparse else ()
        initial = self.settings.adagrad_init
        return build_adagrad(groups, rate=rate, initial=initial, weight_decay=decay, by_row=by_row)

    # ------------------------------------------------------------------------------------------ training
    def fit(
        self,
        train_data: Any,
        valid_data: Any = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Callable[[int, float], Any] | None = None,
    ) -> Any:
        """Train with early stopping on the validation part; see RecBole's `Trainer.fit` for the arguments."""
        self._split_sha256 = train_data.part.split_sha256
        self._keep_state = saved
        self._valid_data = valid_data
        if hasattr(self.model, "prepare_training"):
            self.model.prepare_training(steps_per_epoch=len(train_data), epochs=self.epochs)
        if self.settings.resume and os.path.exists(self.state_file):
            self.resume_checkpoint(self.state_file)
        if self.start_epoch >= self.epochs or self.cur_step > self.stopping_step:
            return self.best_valid_score, self.best_valid_result

        def after_epoch(epoch: int, valid_score: float) -> None:
            self.history[-1].update(epoch=epoch, valid_score=valid_score)
            self._save_state(epoch)
            if callback_fn:
                callback_fn(epoch, valid_score)

        return super().fit(train_data, valid_data, verbose, saved, show_progress, after_epoch)

    def _train_epoch(
        self, train_data: Any, epoch_idx: int, loss_func: Any = None, show_progress: bool = False
    ) -> tuple[float, ...] | float:
        train_data.set_epoch(epoch_idx)
        torch.manual_seed(self.config["seed"] * 1_000_003 + epoch_idx)
        with warnings.catch_warnings():
            # RecBole makes a gradient scaler by a name torch has renamed; it is not in use on the CPU.
            warnings.filterwarnings("ignore", message=".*GradScaler.*", category=FutureWarning)
            total = super()._train_epoch(train_data, epoch_idx, self._with_probes(loss_func), show_progress)
        sums = total if isinstance(total, tuple) else (total,)
        losses = dict(zip(self._loss_names(len(sums)), (value / len(train_data) for value in sums), strict=True))
        diagnostics = self.model.pop_diagnostics() if hasattr(self.model, "pop_diagnostics") else {}
        self.history.append({"epoch": epoch_idx, "losses": losses, "diagnostics": diagnostics})
        if self._probes:
            self.history[-1]["probes"], self._probes = self._probes, []
        return tuple(losses.values()) if isinstance(total, tuple) else next(iter(losses.values()))

    def _with_probes(self, loss_func: Any) -> Any:
        """`loss_func`, which reports on the adversary before every `probe_every`-th step."""
        every = self.settings.probe_every
        if every is None:
            return loss_func
        from recbole_marn.analysis.adversary import adversary_report, check_adversary

        check_adversary(self.model)
        loss_func = loss_func or self.model.calculate_loss

        def probing(interaction: Any) -> Any:
            step = self.model.step
            if step % every == 0:
                with torch.random.fork_rng():  # a loader draws a number when it starts
                    report = adversary_report(self.model, self, self._valid_data, interaction.batch)
                self._probes.append({"step": step, **report})
                self.model.train()
            return loss_func(interaction)

        return probing

    def _loss_names(self, number: int) -> list[str]:
        names = getattr(self.model, "loss_names", None) or ["loss", *(f"auxiliary{i}" for i in range(1, number))]
        return list(names)[:number]

    def _generate_train_loss_output(self, epoch_idx: int, s_time: float, e_time: float, losses: Any) -> str:
        self.history[-1]["seconds"] = e_time - s_time
        named = self.history[-1]["losses"] | self.history[-1]["diagnostics"]
        values = ", ".join(f"{set_color(name, 'blue')}: {value:.4f}" for name, value in named.items())
        return set_color(f"epoch {epoch_idx} training", "green") + f" [time: {e_time - s_time:.2f}s, {values}]"

    def _add_train_loss_to_tensorboard(self, epoch_idx: int, losses: Any, tag: str = "Loss/Train") -> None:
        for name, value in self.history[-1]["losses"].items():
            self.tensorboard.add_scalar(f"{tag}/{name}", value, epoch_idx)
        for name, value in self.history[-1]["diagnostics"].items():
            self.tensorboard.add_scalar(f"Diagnostics/{name}", value, epoch_idx)

    # ---------------------------------------------------------------------------------------- evaluation
    def _neg_sample_batch_eval(self, batched_data: Any) -> Any:
        # The loader's batches never exceed eval_batch_size rows by more than one group: no splitting.
        interaction, _, positive_u, positive_i = batched_data
        return interaction, self.model.predict(interaction.to(self.device)), positive_u, positive_i

    @torch.no_grad()
    def evaluate(
        self, eval_data: Any, load_best_model: bool = True, model_file: Any = None, show_progress: bool = False
    ):
        """Metrics of a part; with `load_best_model` of the best checkpoint, which must be of this data set."""
        if load_best_model:
            self._load_best(model_file or self.saved_model_file, eval_data)
        return super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)

    @torch.no_grad()
    def scores(self, eval_data: Any) -> dict[str, np.ndarray]:
        """user, item, label and score of every row of a part, in its order."""
        self.model.eval()
        columns: dict[str, list[np.ndarray]] = {"user": [], "item": [], "label": [], "score": []}
        fields = {"user": "USER_ID_FIELD", "item": "ITEM_ID_FIELD", "label": "LABEL_FIELD"}
        for batched_data in eval_data:
            interaction, score, _, _ = self._neg_sample_batch_eval(batched_data)
            for name, field in fields.items():
                columns[name].append(interaction[self.config[field]].numpy())
            columns["score"].append(score.float().cpu().numpy())
        return {name: np.concatenate(values) for name, values in columns.items()}

    def _load_best(self, path: str, data: Any) -> None:
        content = checkpoint.load(path, map_location=self.device)
        check_same_data(content, path, data.part.split_sha256)
        self.model.load_state_dict(content["state_dict"])
        self.logger.info(f"Best model of epoch {content['epoch']} read from {path}")

    # --------------------------------------------------------------------------------------- checkpoints
    def plain_settings(self) -> dict[str, Any]:
        """Every setting as plain data, as checkpoints and records keep them."""
        return plain_config(self.config)

    def _content(self, epoch: int) -> dict[str, Any]:
        return {
            "config": self.plain_settings(),
            "split_sha256": self._split_sha256,
            "epoch": epoch,
            "cur_step": self.cur_step,
            "best_valid_score": float(self.best_valid_score),
            "best_valid_result": dict(self.best_valid_result or {}),
            "history": self.history,
            "state_dict": self.model.state_dict(),
            "other_parameter": {},
        }

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        if not self.config["single_spec"] and self.config["local_rank"] != 0:
            return
        path = kwargs.pop("saved_model_file", self.saved_model_file)
        checkpoint.save(path, self._content(epoch))
        if verbose:
            self.logger.info(set_color("Saving current", "blue") + f": {path}")

    def _save_state(self, epoch: int) -> None:
        """All that the next epoch depends on; the run's randomness is a function of seed and epoch."""
        if self._keep_state and self.config["local_rank"] == 0:
            checkpoint.save(self.state_file, self._content(epoch) | {"optimizer": self.optimizer.state_dict()})

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Go on from a state written by `_save_state`.

        Raises:
            InputError: the state is of another data set, of other settings, or of a newer version.
        """
        content = checkpoint.load(resume_file, map_location=self.device)
        check_same_data(content, resume_file, self._split_sha256)
        check_same_settings(content, resume_file, self.plain_settings())
        self.model.load_state_dict(content["state_dict"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.start_epoch = content["epoch"] + 1
        self.cur_step = content["cur_step"]
        self.best_valid_score = content["best_valid_score"]
        self.best_valid_result = content["best_valid_result"] or None
        self.history = content["history"]
        self.logger.info(f"Resumed from {resume_file} after epoch {content['epoch']}")


def parameters_by_rate(given: Any, model: Any) -> list[tuple[float, list[Tensor]]]:
    """Parameters grouped by their learning rate relative to the run's."""
    if given is not None:
        return [(1.0, list(given))]
    if hasattr(model, "parameters_by_rate"):
        return model.parameters_by_rate()
    return [(1.0, [parameter for parameter in model.parameters() if parameter.requires_grad])]


def check_same_settings(content: dict[str, Any], path: Any, settings: dict[str, Any]) -> None:
    """A state goes on to the same result only under the settings it was written with."""
    before = content["config"]
    changed = [key for key in before | settings if key not in INCIDENTAL and before.get(key) != settings.get(key)]
    changed.sort(key=lambda key: (key != "model", key))  # another model explains most of the rest
    if changed:
        raise InputError(
            f"a state of the same settings in {path}",
            ", ".join(f"{key}: {before.get(key)!r} there and {settings.get(key)!r} here" for key in changed[:5]),
            "Take those settings again, give another run_name, or train anew with resume: False.",
        )


def check_same_data(content: dict[str, Any], path: Any, split_sha256: str) -> None:
    """A checkpoint's ids mean nothing on other rows."""
    if split_sha256 and content["split_sha256"] != split_sha256:
        raise InputError(
            f"a checkpoint of this data set and split (SHA-256 {split_sha256[:12]}...)",
            f"{path} of {content['config']['dataset']} (SHA-256 {content['split_sha256'][:12]}...)",
            "Use the data set, split and sample_seed it was trained with, or train anew.",
        )
