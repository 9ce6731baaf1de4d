"""Search of settings by Ray Tune: many trials at once, on one machine or a cluster; ASHA ends the worse ones early.

Ray keeps the search in `<output file>.ray/`. The same search given again goes on with it: finished trials stay, an
unfinished one goes on after its last epoch where its files are still there.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recbole_marn.errors import Diverged, InputError
from recbole_marn.files import plain, sha256, write_json
from recbole_marn.host.compat import old_numpy_names
from recbole_marn.host.config import build_config, data_files
from recbole_marn.training.metrics import named_metrics
from recbole_marn.training.prepared import prepare_data, prepare_run
from recbole_marn.tuning.space import Space, params_dict, readable
from recbole_marn.tuning.trials import Search

__all__ = ["Cluster", "trials"]

REDUCTION = 3  # of the trials at a rung, one in so many goes on (Li et al., MLSys 2020)
OBJECT_STORE_BYTES = 1 << 27  # trials exchange numbers only


@dataclass(frozen=True)
class Cluster:
    """Where trials run.

    Args:
        workers: trials at once.
        address: of a running Ray cluster ("auto": the one this machine belongs to); None starts Ray here.
        gpus: share of a GPU that a trial takes; 0 trains on CPUs.
    """

    workers: int = 1
    address: str | None = None
    gpus: float = 0.0


def trials(search: Search, fixed: Mapping[str, Any], cluster: Cluster) -> list[dict[str, Any]]:
    """Do a search, or what is left of it.

    Args:
        fixed: settings that every trial shares, of which `search.config` is.

    Returns:
        settings, valid, valid_score (best epoch; None where training diverged), epochs and seconds of each trial.

    Raises:
        InputError: Ray is missing or too broken to start, no such cluster, or another search in the same place.
    """
    ray, tune = _ray()
    if cluster.workers < 1 or not cluster.gpus >= 0:
        hint = "Give --workers=1 or more, and --gpus=0 or more."
        raise InputError("one worker or more and no negative share of a GPU", repr(cluster), hint)
    folder = search.output_file.absolute().with_name(f"{search.output_file.name}.ray")
    data_path = os.path.abspath(os.path.dirname(search.config["data_path"]))
    shared = {**fixed, "data_path": data_path, "use_gpu": cluster.gpus > 0}
    drawn = {} if search.algo == "exhaustive" else {"max_evals": search.number}
    prepare_data(search.config)
    data = [sha256(path) for path in data_files(search.config)]  # trials of others would be compared with these
    _check_same_search(folder, {**search.header, **shared, **drawn, "data": data})
    states = folder / "states"
    trainable = tune.with_resources(
        partial(_trial, fixed=shared, states=str(states)), {"cpu": 1, "gpu": cluster.gpus}
    )
    with _started(ray, cluster):
        if tune.Tuner.can_restore(str(folder)):
            tuner = tune.Tuner.restore(str(folder), trainable=trainable, restart_errored=True)
        else:
            tuner = _tuner(tune, trainable, search, folder, cluster)
        results = tuner.fit()
    if results.errors:
        raise results.errors[0]
    shutil.rmtree(states, ignore_errors=True)
    return [_told(result) for result in sorted(results, key=lambda result: result.metrics["trial_id"])]


def _tuner(tune: Any, trainable: Any, search: Search, folder: Path, cluster: Cluster) -> Any:
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter

    config, mode = search.config, "max" if search.bigger else "min"
    domains = _domains(tune, search.space, search.algo)
    if search.algo == "bayes":
        from ray.tune.search.hyperopt import HyperOptSearch

        searcher = HyperOptSearch(domains, metric="valid_score", mode=mode, random_state_seed=config["seed"])
        algorithm = ConcurrencyLimiter(searcher, max_concurrent=cluster.workers)
        domains = None
    else:
        algorithm = BasicVariantGenerator(max_concurrent=cluster.workers, random_state=config["seed"])
    scheduler = ASHAScheduler(time_attr="epoch", max_t=_most_epochs(search), grace_period=1, reduction_factor=REDUCTION)
    return tune.Tuner(
        trainable,
        param_space=domains,
        tune_config=tune.TuneConfig(
            metric="valid_score",
            mode=mode,
            num_samples=1 if search.algo == "exhaustive" else search.number,
            search_alg=algorithm,
            scheduler=scheduler,
        ),
        run_config=_run_config()(name=folder.name, storage_path=str(folder.parent), verbose=1),
    )


def _most_epochs(search: Search) -> int:
    """The longest a trial may train: ASHA ends any at this epoch, whatever its settings say."""
    if "epochs" not in search.space:
        return int(search.config["epochs"])
    kind, values = search.space["epochs"]
    most = max(values) if kind == "choice" else values[1]
    return math.ceil(math.exp(most) if kind == "loguniform" else most)


def _domains(tune: Any, space: Space, algo: str) -> dict[str, Any]:
    kinds = {
        "choice": lambda *values: tune.grid_search(list(values)) if algo == "exhaustive" else tune.choice(list(values)),
        "uniform": tune.uniform,
        "quniform": tune.quniform,
        "loguniform": lambda low, high: tune.loguniform(math.exp(low), math.exp(high)),
    }
    return {
        name: kinds[kind](*values) for kind, entries in params_dict(space).items() for name, values in entries.items()
    }


# ----------------------------------------------------------------------------------------------- a trial
def _trial(drawn: dict[str, Any], fixed: Mapping[str, Any], states: str) -> None:
    """In a Ray worker: train, and report the best validation value so far after every epoch.

    Args:
        states: folder of what unfinished trials go on with, each in a folder of its own.
    """
    tell, trial_id = _session()
    settings = {name: readable(value) for name, value in drawn.items()}
    own = {"checkpoint_dir": os.path.join(states, trial_id), "run_name": "trial", "resume": True}
    own["show_progress"] = False
    config = build_config(config_dict={**fixed, **settings, **own})
    parts = prepare_run(config, quiet=True, sealed=True)
    trainer = parts.trainer

    def report(failure: str | None = None) -> None:
        worst = -math.inf if config["valid_metric_bigger"] else math.inf
        score = float(trainer.best_valid_score)
        failure = failure or (None if math.isfinite(score) else f"{config['valid_metric']} is not a number")
        tell(
            {
                "epoch": len(trainer.history),
                "valid_score": worst if failure else score,
                "valid": {} if failure else named_metrics(trainer.best_valid_result),
                "failure": failure,
            }
        )

    try:
        trainer.fit(parts.train, parts.valid, verbose=False, callback_fn=lambda epoch, score: report())
    except Diverged as error:
        report(str(error))
        return
    if len(trainer.history) == trainer.start_epoch:  # it was finished before, and has reported nothing now
        report()


def _told(result: Any) -> dict[str, Any]:
    found = result.metrics
    told = {
        "settings": {name: readable(value) for name, value in result.config.items()},
        "valid": found["valid"],
        "valid_score": None if found["failure"] else found["valid_score"],
        "epochs": found["epoch"],
        "seconds": round(found["time_total_s"], 2),
    }
    return told | ({"failure": found["failure"]} if found["failure"] else {})


# --------------------------------------------------------------------------------------------------- Ray
def _ray() -> tuple[Any, Any]:
    try:
        with old_numpy_names():
            import ray
            from ray import tune
            from ray.tune import Tuner  # noqa: F401
    except (ImportError, AttributeError) as error:  # AttributeError: of a numpy that this ray does not know
        raise InputError(
            "the package ray with its Tune, which this engine is", f"none that imports here ({error})",
            "Install it: pip install 'recbole-marn[ray]', or take --engine=recbole.",
        ) from None  # fmt: skip
    return ray, tune


def _session() -> tuple[Callable[[dict[str, Any]], None], str]:
    """In a trial: how it reports, and its id."""
    try:
        from ray.tune import get_context, report
    except ImportError:  # the Ray that RecBole asks for
        from ray.air import session

        return session.report, session.get_trial_id()
    return report, get_context().get_trial_id()


def _run_config() -> Any:
    try:
        from ray.tune import RunConfig
    except ImportError:  # the Ray that RecBole asks for
        from ray.air import RunConfig
    return RunConfig


@contextmanager
def _started(ray: Any, cluster: Cluster) -> Iterator[None]:
    """Join a cluster, or start Ray on this machine for the length of the block."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a search reports to nobody
    here = {"num_cpus": cluster.workers, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(**({"address": cluster.address} if cluster.address else here), log_to_driver=False)
    except ConnectionError as error:
        raise InputError(
            "the address of a running Ray cluster", f"{cluster.address} ({error})",
            "Start it (ray start --head), or leave the address out to run on this machine.",
        ) from None  # fmt: skip
    try:
        yield
    finally:
        ray.shutdown()


def _check_same_search(folder: Path, search: Mapping[str, Any]) -> None:
    file, known = folder / "search.json", json.loads(json.dumps(plain(search)))
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, known)
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    changed = [key for key in sorted({*before, *known}) if before.get(key) != known.get(key)]
    if changed:
        raise InputError(
            f"the search that {folder} was begun with",
            f"another {', '.join(changed)}",
            "Take those settings again, give another --output_file, or remove the folder.",
        )
