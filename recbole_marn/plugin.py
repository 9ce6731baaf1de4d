"""Every hook into RecBole, in one table: what is patched, why, and what breaks without it.

`watch()` costs nothing until RecBole is imported. Each row is applied the moment its module is: right after its import,
around it, or at once where RecBole was imported first. So the order of the two imports does not matter.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.host import compat, processes
from recbole_marn.registry import MODELS, ModelRow, model_class

__all__ = ["PATCHES", "Patch", "watch"]

ALIASES = "recbole.model.sequential_recommender."
BY_ALIAS = {ALIASES + row.name.lower(): row for row in MODELS.values() if row.ours}


def _later(name: str) -> Callable[..., Any]:
    """The function `module:name`, imported when it is called: a hook must not import what it hooks into."""
    module, _, attribute = name.partition(":")

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), attribute)(*args, **kwargs)

    return call


# ------------------------------------------------------------------------------------------------ our models
def datasets_by_name(module: types.ModuleType) -> None:
    """`create_dataset` looks for `<model>Dataset` here."""
    ours = _later("recbole_marn.data.log_dataset:dataset_of")
    for row in MODELS.values():
        default = module.SequentialDataset if "sequential" in row.location else module.Dataset
        _set_by_name(module, row, "Dataset", ours, default)


def trainers_by_name(module: types.ModuleType) -> None:
    """`get_trainer` looks for `<model>Trainer` here."""
    ours = _later("recbole_marn.analysis.probing:trainer_of")
    for row in MODELS.values():
        _set_by_name(module, row, "Trainer", ours, module.Trainer)


def _set_by_name(module: types.ModuleType, row: ModelRow, suffix: str, ours: Any, default: Any) -> None:
    """Our class for our models; for RecBole's, ours on our rows and its own on its own."""
    name = row.name + suffix
    setattr(module, name, ours if row.ours else _chosen_by_config(ours, getattr(module, name, default)))


def _chosen_by_config(ours: Callable[..., Any], theirs: Any) -> Callable[..., Any]:
    @functools.wraps(theirs, updated=())
    def choose(config: Any, *args: Any) -> Any:
        return (ours if uses_our_rows(config) else theirs)(config, *args)

    return choose


def uses_our_rows(config: Any) -> bool:
    """Whether a Config trains on this package's rows: its own models do, RecBole's when `same_rows` is set."""
    row = MODELS.get(config["model"])
    return row is not None and (row.ours or bool(config["same_rows"]))


def loaders_of_our_rows(module: types.ModuleType) -> None:
    """`data_preparation` asks `get_dataloader` for a class, with which it wraps each part."""
    original = module.get_dataloader

    @functools.wraps(original)
    def get_dataloader(config: Any, phase: str) -> Any:
        if uses_our_rows(config):
            return _later("recbole_marn.data.loader:CTRDataLoader")
        return original(config, phase)

    module.get_dataloader = get_dataloader


def user_auc(module: types.ModuleType) -> None:
    """RecBole's table of metrics learns UAUC, and GAUC of labelled rows."""
    ours = importlib.import_module("recbole_marn.training.metrics")
    names = {"uauc": ours.UAUC, importlib.import_module("recbole_marn.settings.host").GAUC_NAME.lower(): ours.GAUC}
    for name, metric in names.items():
        module.metrics_dict[name] = metric
        module.metric_types[name] = metric.metric_type
        module.metric_information[name] = metric.metric_need


def settings_of_our_data(module: types.ModuleType) -> None:
    """RecBole prints a Config by these lists."""
    fields = importlib.import_module("recbole_marn.host.keys").DATA_KEYS
    module.dataset_arguments += [name for name in fields if name not in module.dataset_arguments]


def settings_files(module: types.ModuleType) -> None:
    """Our defaults and YAML files after RecBole's own: its files, loaded after the model's, would win otherwise."""
    original = module.Config._load_internal_config_dict
    add_our_settings = _later("recbole_marn.host.keys:add_our_settings")

    @functools.wraps(original)
    def _load_internal_config_dict(self: Any, model: str, model_class: type, dataset: str) -> None:
        original(self, model, model_class, dataset)
        row = MODELS.get(model)
        if row is not None and (row.ours or self.external_config_dict.get("same_rows")):
            add_our_settings(self, row, dataset)

    module.Config._load_internal_config_dict = _load_internal_config_dict


def _replace_in_place(function: types.FunctionType, make: Callable[[Any], Callable[..., Any]]) -> None:
    """Let `function` do what `make(original)` does, also for those who took it over by name before this package."""
    hook = f"_{function.__name__}_of_recbole_marn"
    if function.__code__.co_names == (hook,):  # a module was loaded again, and this function stayed
        original = function.__globals__[hook].__wrapped__
    else:
        original = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    function.__globals__[hook] = function.__wrapped__ = make(original)
    function.__code__ = _forward.__code__.replace(co_name=function.__name__, co_names=(hook,))
    function.__defaults__ = None


def _forward(*args: Any, **kwargs: Any) -> Any:
    return HOOK(*args, **kwargs)  # noqa: F821  (its code alone is taken, with the name of a hook for HOOK)


def several_processes(module: types.ModuleType) -> None:
    """RecBole's `run(..., nproc=2)` starts processes that know its own models alone, and only on GPUs: ours does it."""
    _replace_in_place(module.run, _run_of_several_processes)


def _run_of_several_processes(original: Callable[..., Any]) -> Callable[..., Any]:
    our_run = _later("recbole_marn.training.run:run")
    read_files = _later("recbole_marn.host.config:read_files")

    @functools.wraps(original)
    def run(
        model: str, dataset: str, config_file_list: Any = None, config_dict: Any = None, saved: bool = True,
        nproc: int = 1, world_size: int = -1, **network: Any,
    ) -> Any:  # fmt: skip
        row = MODELS.get(model)
        alone = row is None or (nproc == 1 and world_size <= 1)
        if alone or not (row.ours or (read_files(config_file_list or []) | (config_dict or {})).get("same_rows")):
            return original(model, dataset, config_file_list, config_dict, saved, nproc, world_size, **network)
        if world_size not in (-1, nproc):
            raise InputError(
                "all processes of a run on one machine",
                f"world_size={world_size} with nproc={nproc}",
                "Leave world_size out; torchrun starts processes on many machines (docs/training.md).",
            )
        return our_run(model, dataset, config_file_list, config_dict, saved, nproc)

    return run


def checkpoints(module: types.ModuleType) -> None:
    """RecBole's `load_data_and_model` reads our checkpoints, and pickles only with the user's word."""
    load = _later("recbole_marn.training.prepared:load_data_and_model")

    def make(original: Callable[[Any], Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def load_data_and_model(model_file: Any, trust: bool = False) -> Any:
            return load(model_file, original, trust)

        return load_data_and_model

    _replace_in_place(module.load_data_and_model, make)


# ------------------------------------------------------------------------------------------------- the table
@dataclass(frozen=True)
class Patch:
    """One change of a module of RecBole.

    Attributes:
        module: the module that is changed.
        what: the name in it that changes.
        why: what for.
        without: what breaks without it.
        test: the test that turns red without it.
        after: called with the module once it is imported.
        around: what its import happens in; `after` is then for a module that was imported before this package.
    """

    module: str
    what: str
    why: str
    without: str
    test: str
    after: Callable[[types.ModuleType], None] | None = None
    around: Callable[[], AbstractContextManager[None]] | None = None


PATCHES = (
    Patch(
        "recbole.data.dataset", "<Model>Dataset", "our rows for our models, and for RecBole's with same_rows",
        "create_dataset makes RecBole's own rows", "test_plugin.py::test_the_chain_by_hand", datasets_by_name,
    ),
    Patch(
        "recbole.trainer", "<Model>Trainer", "named losses, resume, metrics by user",
        "get_trainer gives RecBole's own", "test_plugin.py::test_the_chain_by_hand", trainers_by_name,
    ),
    Patch(
        "recbole.data.utils", "get_dataloader", "batches of whole groups, ragged histories",
        "data_preparation wraps our parts in RecBole's loaders", "test_plugin.py::test_the_chain_by_hand",
        loaders_of_our_rows,
    ),
    Patch(
        "recbole.evaluator.register", "metrics_dict and its two companions", "the metrics UAUC and GAUC",
        "metrics: [UAUC] is unknown", "test_trainer.py", user_auc,
    ),
    Patch(
        "recbole.utils.argument_list", "dataset_arguments", "the keys of our rows are printed with the data set's",
        "the printed Config shows them among others", "test_plugin.py::test_every_patch_is_in_place",
        settings_of_our_data,
    ),
    Patch(
        "recbole.config.configurator", "Config._load_internal_config_dict", "our defaults, and a check of every key",
        "a misspelt key is ignored", "test_plugin.py::test_settings_of_the_run_are_checked", settings_files,
    ),
    Patch(
        "recbole.config.configurator", "Config._convert_config_dict", "settings given as text are read as literals",
        "text is evaluated as Python code", "test_compat.py::test_settings_given_as_text_are_read_and_not_run",
        compat.literal_settings,
    ),
    Patch(
        "recbole.config.configurator", "Config.compatibility_settings", "numpy 2 lacks four names it looks up",
        "no Config can be built with numpy 2", "test_compat.py::test_a_config_needs_no_name_that_numpy_dropped",
        compat.numpy_names,
    ),
    Patch(
        "recbole.config.configurator", "Config._init_device",
        "processes of a group join it on CPUs too; use_gpu: false counts",
        "nproc=2 needs GPUs, and use_gpu: false takes the GPU", "test_distributed.py", processes.join_group,
    ),
    Patch(
        "recbole.utils.utils", "ensure_dir", "processes make folders together",
        "one of two processes fails when both find a folder missing", "test_plugin.py::test_every_patch_is_in_place",
        processes.folders_made_together,
    ),
    Patch(
        "recbole.quick_start", "run", "our models on several processes, on CPUs too",
        "nproc=2 fails", "test_distributed.py", several_processes,
    ),
    Patch(
        "recbole.quick_start", "load_data_and_model", "our checkpoints are plain data; pickles need the user's word",
        "ours cannot be read; torch refuses RecBole's", "test_plugin.py::test_load_data_and_model", checkpoints,
    ),
    Patch(
        "recbole.trainer.trainer", "torch.save and torch.load as this module sees them",
        "torch >= 2.6 refuses what RecBole's trainer has just written", "plain RecBole cannot test its best model",
        "test_compat.py::test_recboles_trainer_reads_its_own_files_alone",
        _later("recbole_marn.host.torch_load:checkpoints_of_this_process"),
    ),
    Patch(
        "recbole.trainer.hyper_tuning", "numpy as this module sees it", "newer hyperopt calls `integers` on it",
        "exhaustive search fails", "test_compat.py::test_exhaustive_search_gets_a_generator_that_hyperopt_accepts",
        compat.generator_for_hyperopt,
    ),
    Patch(
        "recbole.quick_start.quick_start", "tune", "ray takes seconds to import, and is missing on Python 3.12",
        "RecBole cannot be imported without ray", "test_compat.py::test_recbole_is_imported_without_ray",
        around=compat.ray_on_demand,
    ),
    Patch(
        "recbole.model.sequential_recommender.sine", "torch's anomaly detection", "SINE switches it on at import",
        "every sequential model takes 2 to 4.6 times as long",
        "test_compat.py::test_anomaly_detection_is_off_after_the_import",
        compat.anomaly_detection_off, compat.anomaly_detection_as_it_was,
    ),
)  # fmt: skip


# ------------------------------------------------------------------------------------------------- the watch
class _Alias(types.ModuleType):
    """`recbole.model.sequential_recommender.<model>`, where RecBole looks for a model by name."""

    def __getattr__(self, name: str) -> Any:
        if name == BY_ALIAS[self.__name__].name:
            return model_class(name)
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")


class _AliasLoader:
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Alias(spec.name, f"{BY_ALIAS[spec.name].name}, provided by recbole_marn.")

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class _PatchingLoader:
    """The loader of a module of RecBole, which applies the rows of the table."""

    def __init__(self, loader: Any, patches: list[Patch]):
        self._loader, self._patches = loader, patches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        around = [patch.around for patch in self._patches if patch.around]
        with around[0]() if around else nullcontext():
            self._loader.exec_module(module)
        for patch in self._patches:
            if patch.after and not patch.around:
                patch.after(module)


class _Finder:
    """Finds what RecBole imports by the table: modules to be patched, and our models under its names."""

    patched = {patch.module for patch in PATCHES}

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name in BY_ALIAS:
            return importlib.machinery.ModuleSpec(name, _AliasLoader())
        if name not in self.patched:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _PatchingLoader(spec.loader, [patch for patch in PATCHES if patch.module == name])
        return spec


def watch() -> None:
    """Apply the table to what is imported of RecBole, now and from now on; safe to call again."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for patch in PATCHES:
        if patch.module in sys.modules and patch.after:
            patch.after(sys.modules[patch.module])
