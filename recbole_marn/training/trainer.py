"""Training of every model on our rows: named losses, optimizers, diagnostics, and a resume that changes nothing."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.trainer import Trainer
from torch import Tensor, optim
from torch.nn.utils.clip_grad import clip_grad_norm_

from recbole_marn.data.part import Part, moved
from recbole_marn.errors import InputError
from recbole_marn.host.config import plain_config
from recbole_marn.models.base import OurModel
from recbole_marn.settings.parsing import from_mapping
from recbole_marn.settings.training import TrainSettings
from recbole_marn.training import checkpoint, click_rates
from recbole_marn.training.click_rates import ClickRates, kept_share
from recbole_marn.training.epoch import LossSums, batches_on, tiny_as_zero
from recbole_marn.training.identity import check_same_items, check_same_rows, check_same_settings, run_name
from recbole_marn.training.items_file import write_items
from recbole_marn.training.log import bar, epoch_line
from recbole_marn.training.metrics import UserCollector, metrics_of, named_metrics
from recbole_marn.training.optimizers import build_adagrad, build_adam, build_lazy_adam, rate_left, read_by_row
from recbole_marn.training.weight_average import WeightAverage

__all__ = ["CTRTrainer"]


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
        self.eval_collector = UserCollector(config)
        self.run_name = self.settings.run_name or run_name(config)
        self.saved_model_file = os.path.join(self.checkpoint_dir, f"{self.run_name}.pth")
        self.state_file = os.path.join(self.checkpoint_dir, f"{self.run_name}.last.pth")
        self.history: list[dict[str, Any]] = []
        self.click_rates = ClickRates(kept_share(config.final_config_dict))
        self._average: WeightAverage | None = None
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._training: Part | None = None
        self._items: dict[str, str] | None = None
        self._keep_state = False
        self._valid_seconds = 0.0
        self._valid_data: Any = None
        self._probes: list[dict[str, Any]] = []
        self._report: Callable[[Any, Any], dict[str, Any]] | None = None

    # ----------------------------------------------------------------------------------------- optimizer
    def _build_optimizer(self, **kwargs: Any) -> optim.Optimizer:
        """AdaGrad with the paper's accumulator and Adam run fused; the rest is RecBole's."""
        learner = kwargs.get("learner", self.learner).lower()
        rate, decay = self.learning_rate, self.weight_decay
        # Weight decay and the norm of all gradients concern every row; other processes send dense gradients.
        may_be_sparse = not decay and not self.clip_grad_norm and self.config["single_spec"]
        if self.settings.lazy_adam and not (may_be_sparse and learner == "adam"):
            raise InputError(
                "lazy_adam with learner: adam, one process, and neither weight_decay nor clip_grad_norm",
                f"learner {learner}, weight_decay {decay}, clip_grad_norm {self.clip_grad_norm}, "
                f"{self.config['world_size']} processes",
                "Leave lazy_adam out, or those: each of them moves every row.",
            )
        if learner not in ("adam", "adagrad"):
            return super()._build_optimizer(**kwargs)
        groups = parameters_by_rate(kwargs.get("params"), self.model)
        if self.settings.lazy_adam:
            return build_lazy_adam(groups, rate=rate, by_row=read_by_row(self.model))
        if learner == "adam":
            return build_adam(groups, rate=rate, weight_decay=decay)
        by_row = read_by_row(self.model) if may_be_sparse else ()
        initial = self.settings.adagrad_init
        return build_adagrad(groups, rate=rate, initial=initial, weight_decay=decay, by_row=by_row)

    def _set_rates(self, progress: float) -> None:
        """Let the learning rate fall as far as `progress`, the share of all steps that are done, says."""
        left = rate_left(self.settings.learning_rate_decay, progress)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * left

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
        self._training = train_data.part
        self._keep_state = saved
        self._valid_data = valid_data
        if saved and self.config["local_rank"] == 0 and isinstance(self.model, OurModel):
            largest_copy = self.settings.copied_vectors_mb * 1_000_000
            self._items = write_items(self.checkpoint_dir, self.model, train_data.part, largest_copy)
        if isinstance(self.model, OurModel):
            self.model.prepare_training(steps_per_epoch=len(train_data), epochs=self.epochs)
        if self.settings.weight_average is not None and self._average is None:
            self._average = WeightAverage(self.model, self.settings.weight_average)
        if self.settings.resume and os.path.exists(self.state_file):
            self.resume_checkpoint(self.state_file)
        if self.start_epoch >= self.epochs or self.cur_step > self.stopping_step:
            return self.best_valid_score, self.best_valid_result

        def after_epoch(epoch: int, valid_score: float) -> None:
            self.history[-1].update(epoch=epoch, valid_score=valid_score)
            self._save_state(epoch)
            if verbose:
                self._tell(self.cur_step == 0)
            if callback_fn:
                callback_fn(epoch, valid_score)

        best = super().fit(train_data, valid_data, False, saved, show_progress, after_epoch)
        if verbose and self.cur_step > self.stopping_step:
            self.logger.info(f"stopped    after {self.cur_step} validations without a better value")
        return best

    def _tell(self, best: bool) -> None:
        number, digits = len(self.history), self.config["loss_decimal_place"] or 4
        self.logger.info(epoch_line(self.history[-1], number, self.epochs, digits, self._valid_seconds, best))

    def _valid_epoch(self, valid_data: Any, show_progress: bool = False) -> tuple[float, Any]:
        start = time.perf_counter()
        score, result = super()._valid_epoch(valid_data, show_progress)
        if math.isnan(score):
            raise InputError(
                f"a {self.config['valid_metric']} of the validation part, which chooses the epoch",
                "none: no user has rows of both classes",
                "Set valid_metric: AUC.",
            )
        self._valid_seconds = time.perf_counter() - start
        self.history[-1]["valid"] = named_metrics(result)
        return score, result

    @tiny_as_zero()
    def _train_epoch(
        self, train_data: Any, epoch_idx: int, loss_func: Any = None, show_progress: bool = False
    ) -> tuple[float, ...] | float:
        """RecBole's pass over the training rows, in which no step waits for a loss (`LossSums`)."""
        train_data.set_epoch(epoch_idx)
        torch.manual_seed(self.config["seed"] * 1_000_003 + epoch_idx)
        self.model.train()
        if self._average is not None:
            self._average.take_out()
        losses_of = self._with_probes(loss_func) or self.model.calculate_loss
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.enable_scaler)
        sums = LossSums(self.learning_rate)
        batches = batches_on(train_data, self.device)
        what = f"{self.config['model']} epoch {epoch_idx + 1}/{self.epochs}"
        for number, interaction in enumerate(bar(batches, what, total=len(train_data), shown=show_progress)):
            if self.settings.learning_rate_decay != "none":
                self._set_rates((epoch_idx * len(train_data) + number) / (self.epochs * len(train_data)))
            self.optimizer.zero_grad()
            of_all = self._tie_processes()
            # float16, RecBole's type on a GPU, needs a scaler, which waits; bfloat16 needs none
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.enable_amp):
                losses = losses_of(interaction)
            losses = losses if isinstance(losses, tuple) else (losses,)
            sums.add(losses)
            scaler.scale(sum((*losses, *of_all))).backward()
            if self.clip_grad_norm:
                clip_grad_norm_(self.model.parameters(), **self.clip_grad_norm)
            scaler.step(self.optimizer)
            scaler.update()
            if self._average is not None:
                self._average.step()
        if self._average is not None:
            self._average.put_in()
        total = sums.read()
        means = [value / len(train_data) for value in total]
        named = dict(zip(self._loss_names(len(means)), means, strict=True))
        diagnostics = self.model.pop_diagnostics() if isinstance(self.model, OurModel) else {}
        self.history.append({"epoch": epoch_idx, "losses": named, "diagnostics": diagnostics})
        if self._probes:
            self.history[-1]["probes"], self._probes = self._probes, []
        return tuple(means) if len(means) > 1 else means[0]

    def _tie_processes(self) -> tuple[Tensor, ...]:
        """Before each step: what several processes do to average gradients, and what that adds to the loss."""
        return ()

    def probe(self, report: Callable[[Any, Any], dict[str, Any]]) -> None:
        """Keep `report(validation loader, ragged batch)` in the history before every `probe_every`-th step."""
        self._report = report

    def _with_probes(self, loss_func: Any) -> Any:
        every, report = self.settings.probe_every, self._report
        if every is None or report is None:
            return loss_func
        loss_func = loss_func or self.model.calculate_loss

        def probing(interaction: Any) -> Any:
            step = self.model.step
            if step % every == 0:
                with torch.random.fork_rng():  # a loader draws a number when it starts
                    found = report(self._valid_data, interaction.batch)
                self._probes.append({"step": step, **found})
                self.model.train()
            return loss_func(interaction)

        return probing

    def _loss_names(self, number: int) -> list[str]:
        if isinstance(self.model, OurModel):
            return list(self.model.loss_names)
        return ["loss", *(f"auxiliary{i}" for i in range(1, number))]

    def _generate_train_loss_output(self, epoch_idx: int, s_time: float, e_time: float, losses: Any) -> str:
        self.history[-1]["seconds"] = e_time - s_time
        return ""  # the epoch is told after its validation

    def _add_train_loss_to_tensorboard(self, epoch_idx: int, losses: Any, tag: str = "Loss/Train") -> None:
        for name, value in self.history[-1]["losses"].items():
            self.tensorboard.add_scalar(f"{tag}/{name}", value, epoch_idx)
        for name, value in self.history[-1]["diagnostics"].items():
            self.tensorboard.add_scalar(f"Diagnostics/{name}", value, epoch_idx)

    # ---------------------------------------------------------------------------------------- evaluation
    def _neg_sample_batch_eval(self, batched_data: Any) -> Any:
        # A batch is whole groups of at most eval_batch_size rows, or one that is longer: it is not cut further.
        interaction, _, positive_u, positive_i = batched_data
        return interaction, self.click_rates(self._predicted(interaction)), positive_u, positive_i

    def _predicted(self, interaction: Any) -> Tensor:
        return self.model.predict(moved(interaction, self.device))

    @torch.no_grad()
    def evaluate(
        self, eval_data: Any, load_best_model: bool = True, model_file: Any = None, show_progress: bool = False
    ):
        """Metrics of a part; with `load_best_model` of the best checkpoint, which must be of this data set."""
        if load_best_model:
            self._load_best(model_file or self.saved_model_file, eval_data)
        if self.click_rates.fitted is not None:
            return self._metrics_of(self.scores(eval_data))
        batches = bar(eval_data, f"{self.config['model']} {eval_data.part.name}", shown=show_progress)
        return super().evaluate(batches, load_best_model=False)

    def _metrics_of(self, columns: dict[str, np.ndarray]) -> dict[str, float]:
        result = metrics_of(self.evaluator, columns)
        self.wandblogger.log_eval_metrics(result, head="eval")
        return result

    @torch.no_grad()
    def scores(self, eval_data: Any) -> dict[str, np.ndarray]:
        """user, item, label and score of every row of a part, in its order.

        With a fitted calibration also `uncalibrated`, the score before it.
        """
        self.model.eval()
        columns: dict[str, list[np.ndarray]] = {"user": [], "item": [], "label": [], "score": []}
        fields = {"user": "USER_ID_FIELD", "item": "ITEM_ID_FIELD", "label": "LABEL_FIELD"}
        for batched_data in eval_data:
            interaction = batched_data[0]
            for name, field in fields.items():
                columns[name].append(interaction[self.config[field]].numpy())
            corrected = self.click_rates.corrected(self._predicted(interaction))
            columns["score"].append(self.click_rates.calibrated(corrected).float().cpu().numpy())
            if self.click_rates.fitted is not None:
                columns.setdefault("uncalibrated", []).append(corrected.float().cpu().numpy())
        return {name: np.concatenate(values) for name, values in columns.items()}

    def calibrate(self, valid_data: Any) -> None:
        """Fit the key `calibration` on validation, for the best model where one was saved, and keep it with that.

        Raises:
            InputError: too few rows of a class.
        """
        if self.settings.calibration == "none":
            return
        if self._keep_state:
            self._load_best(self.saved_model_file, valid_data)
        self.click_rates.fitted = None
        columns = self.scores(valid_data)
        self.click_rates.fitted = click_rates.fit(self.settings.calibration, columns["label"], columns["score"])
        if self._keep_state and self.config["local_rank"] == 0:
            content = checkpoint.load(self.saved_model_file)
            checkpoint.save(self.saved_model_file, content | {"calibration": self.click_rates.state()})
        self.logger.info(f"calibrated {self.settings.calibration}, on {len(columns['label'])} rows of validation")

    def _load_best(self, path: str, data: Any) -> None:
        content = checkpoint.load(path, map_location=self.device)
        checkpoint.check_run(content, path)
        check_same_rows(content, path, data.part)
        check_same_items(content, path, data.part)
        if path == self.saved_model_file:  # a run of the same run_name may have put its own model there meanwhile
            check_same_settings(content, path, self.plain_settings())
            self._check_is_best(content, path)
        checkpoint.fill(self.model, content, path)
        self.click_rates = checkpoint.click_rates_of(content)
        self.logger.info(f"best      epoch {content['epoch'] + 1}, read from {path}")

    def _check_is_best(self, content: dict[str, Any], path: str) -> None:
        """A second run of the same name and settings may be at an earlier epoch."""
        best, found = self.best_valid_score, content["best_valid_score"]
        if self.history and found != best:
            raise InputError(
                f"the best model of this run in {path} ({self.config['valid_metric']} {best} on validation)",
                f"that of another run ({found})",
                "Let one run at a time write it; give the command again without resume, or with a run_name of its own.",
            )

    # --------------------------------------------------------------------------------------- checkpoints
    def plain_settings(self) -> dict[str, Any]:
        """Every setting as plain data, as checkpoints and records keep them."""
        return plain_config(self.config)

    def _content(self, epoch: int) -> dict[str, Any]:
        return {
            "config": self.plain_settings(),
            "split_sha256": self._training.split_sha256,
            "numbering_sha256": self._training.numbering_sha256,
            "items_sha256": self._training.items_sha256,
            "items": self._items,
            "epoch": epoch,
            "cur_step": self.cur_step,
            "best_valid_score": float(self.best_valid_score),
            "best_valid_result": dict(self.best_valid_result or {}),
            "history": self.history,
            "state_dict": self.model.state_dict(),
            "calibration": self.click_rates.state(),
            "other_parameter": {},
        }

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        if not self.config["single_spec"] and self.config["local_rank"] != 0:
            return
        path = kwargs.pop("saved_model_file", self.saved_model_file)
        checkpoint.save(path, self._content(epoch))
        for suffix in (".json", ".scores.npz"):  # of an earlier run of this name: they tell of weights that are gone
            Path(path).with_suffix(suffix).unlink(missing_ok=True)

    def _save_state(self, epoch: int) -> None:
        """All that the next epoch depends on; the run's randomness is a function of seed and epoch."""
        if self._keep_state and self.config["local_rank"] == 0:
            average = None if self._average is None else self._average.state()
            beside = {"optimizer": self.optimizer.state_dict(), "weight_average": average}
            checkpoint.save(self.state_file, self._content(epoch) | beside)

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Go on from a state written by `_save_state`.

        Raises:
            InputError: the state is of another data set, of other settings, or of a newer version.
        """
        content = checkpoint.load(resume_file, map_location=self.device)
        checkpoint.check_run(content, resume_file)
        if self._training is not None:
            check_same_rows(content, resume_file, self._training)
        check_same_settings(content, resume_file, self.plain_settings())
        if self._training is not None:
            check_same_items(content, resume_file, self._training)
        checkpoint.fill(self.model, content, resume_file)
        checkpoint.fill_optimizer(self.optimizer, content, resume_file)
        if self._average is not None:
            self._average.load_state(content["weight_average"])
        self.start_epoch = content["epoch"] + 1
        self.cur_step = content["cur_step"]
        self.best_valid_score = content["best_valid_score"]
        self.best_valid_result = content["best_valid_result"] or None
        self.history = content["history"]
        self.logger.info(f"resumed   after epoch {content['epoch'] + 1}, from {resume_file}")


def parameters_by_rate(given: Any, model: Any) -> list[tuple[float, list[Tensor]]]:
    """Parameters grouped by their learning rate relative to the run's."""
    if given is not None:
        return [(1.0, list(given))]
    if isinstance(model, OurModel):
        return model.parameters_by_rate()
    return [(1.0, [parameter for parameter in model.parameters() if parameter.requires_grad])]
