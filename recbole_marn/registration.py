"""THE table of what exists, and how RecBole finds it by name."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.machinery
import os
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_marn.checkpoint import plain
from recbole_marn.compat import without_arguments
from recbole_marn.errors import InputError
from recbole_marn.host_settings import check_host_settings
from recbole_marn.settings import (
    CTRSettings,
    DataSettings,
    DenseFusionSettings,
    DIENSettings,
    DINSettings,
    DUPNSettings,
    MARNSettings,
    MMSSSettings,
    NAMLSettings,
    TrainSettings,
    XDeepFMSettings,
    from_mapping,
    nearest,
)

__all__ = [
    "MODELS",
    "ModelRow",
    "model_class",
    "properties_folder",
    "rebuild_config",
    "register",
    "settings_of",
    "uses_our_rows",
]


@dataclass(frozen=True)
class ModelRow:
    """One model: where its class is, which settings it takes, and where it was published.

    With `preset_of` it is another model of the table under the settings of its own YAML file.
    """

    name: str
    location: str
    settings: type | None
    paper: str
    preset_of: str | None = None

    @property
    def ours(self) -> bool:
        return self.location.startswith("recbole_marn.")

    @property
    def family(self) -> str:
        """What the rows of a table are told apart by."""
        if self.name in ("ItemCF", "Popularity", "RandomScore"):
            return "no embeddings"
        if not self.ours:
            return "IDs only"
        return "MARN" if issubclass(self.settings, MARNSettings) else "multimodal"


OURS = "recbole_marn.models."


def _preset(name: str, of: str, settings: type, paper: str) -> ModelRow:
    return ModelRow(name, OURS + "presets", settings, paper, preset_of=of)


MODELS: dict[str, ModelRow] = {
    row.name: row
    for row in [
        ModelRow("MARN", OURS + "marn", MARNSettings, "Li et al., WWW 2020"),
        # The rows of its ablation.
        _preset("BaseModelIDs", "MARN", MARNSettings, "Li et al., WWW 2020, Table 3, BaseModel+IDs"),
        _preset("BaseModelIMAGE", "MARN", MARNSettings, "Li et al., WWW 2020, Table 3, BaseModel+IMAGE"),
        _preset("BaseModelCONC", "MARN", MARNSettings, "Li et al., WWW 2020, Table 3, BaseModel+CONC"),
        _preset("BaseModelMAF", "MARN", MARNSettings, "Li et al., WWW 2020, Table 3, BaseModel+MAF"),
        _preset("BaseModelMAFADV", "MARN", MARNSettings, "Li et al., WWW 2020, Table 3, BaseModel+MAF+ADV"),
        _preset("BaseModelMAFDDMA", "MARN", MARNSettings, "Li et al., WWW 2020, Table 3, BaseModel+MAF+DDMA"),
        # Ours: MARN with what helped it on validation, one change at a time.
        _preset("MARNPlus", "MARN", MARNSettings, "this package (docs/models.md)"),
        # Its rivals, fed with the same modalities.
        ModelRow("YoutubeNet", OURS + "youtube_net", CTRSettings, "Covington et al., RecSys 2016"),
        ModelRow("DUPN", OURS + "dupn", DUPNSettings, "Ni et al., KDD 2018"),
        ModelRow("MultimodalDIN", OURS + "multimodal_din", DINSettings, "Zhou et al., KDD 2018"),
        ModelRow("MultimodalDIEN", OURS + "multimodal_dien", DIENSettings, "Zhou et al., AAAI 2019"),
        ModelRow("MultimodalxDeepFM", OURS + "multimodal_xdeepfm", XDeepFMSettings, "Lian et al., KDD 2018"),
        ModelRow(
            "DenseMultimodalFusion", OURS + "dense_multimodal_fusion", DenseFusionSettings, "Hu et al., ICASSP 2019"
        ),
        ModelRow("MMSS", OURS + "mmss", MMSSSettings, "Li et al., IJCAI 2018"),
        ModelRow("NAML", OURS + "naml", NAMLSettings, "Wu et al., IJCAI 2019"),
        # Rankings without item vectors.
        ModelRow("ItemCF", OURS + "item_cf", CTRSettings, "Sarwar et al., WWW 2001"),
        ModelRow("Popularity", OURS + "popularity", CTRSettings, "training count of the candidate"),
        ModelRow("RandomScore", OURS + "random_score", CTRSettings, "a hash of user and item"),
        # RecBole's own models, trained and scored on the same rows: the ID-only anchors.
        ModelRow("LR", "recbole.model.context_aware_recommender.lr", None, "Richardson et al., WWW 2007"),
        ModelRow("FM", "recbole.model.context_aware_recommender.fm", None, "Rendle, ICDM 2010"),
        ModelRow("xDeepFM", "recbole.model.context_aware_recommender.xdeepfm", None, "Lian et al., KDD 2018"),
        ModelRow("DIN", "recbole.model.sequential_recommender.din", None, "Zhou et al., KDD 2018"),
        ModelRow("DIEN", "recbole.model.sequential_recommender.dien", None, "Zhou et al., AAAI 2019"),
    ]
}

# Keys RecBole reads without listing them anywhere, and the ones its command line consumes.
RECBOLE_KEYS = {"model", "dataset", "config_files", "nproc", "ip", "port", "world_size", "group_offset", "offset"}
RECBOLE_KEYS |= {"local_rank", "verbose", "saved", "loss_type", "transform", "wandb_project", "embedding_size"}
RECBOLE_KEYS |= {"double_tower", "reg_weight", "numerical_features", "load_col", "discretization", "encoding"}

# Computed by RecBole from other keys; given back to it they would be refused.
COMPUTED_KEYS = {"MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "device", "single_spec", "local_rank"}
COMPUTED_KEYS |= {"valid_metric_bigger", "eval_args", "train_neg_sample_args"}
COMPUTED_KEYS |= {"valid_neg_sample_args", "test_neg_sample_args"}
# Set by RecBole's own files for some of its models, without effect on our rows; refused where a user gives it.
COMPUTED_KEYS |= {"threshold"}


def model_class(name: str) -> type:
    """The class of a model of the table.

    Raises:
        InputError: unknown name; the nearest known one is suggested.
    """
    if name not in MODELS:
        raise InputError(
            f"model to be one of {', '.join(MODELS)}", repr(name), f"Choose one of them.{nearest(name, MODELS)}"
        )
    return getattr(importlib.import_module(MODELS[name].location), name)


def settings_of(name: str, config: Mapping[str, Any]) -> Any:
    """The settings dataclass of model `name`, filled from a RecBole Config or a mapping."""
    values = getattr(config, "final_config_dict", config)
    return from_mapping(MODELS[name].settings, values, complete=False)


def uses_our_rows(config: Any) -> bool:
    """Whether a Config trains on this package's rows: its own models do, RecBole's when `same_rows` is set."""
    row = MODELS.get(config["model"])
    return row is not None and (row.ours or bool(config["same_rows"]))


def properties_folder() -> Path:
    """The folder of YAML files, beside the package in a checkout and inside it once installed."""
    package = Path(__file__).resolve().parent
    return next(folder for folder in (package.parent / "properties", package / "properties") if folder.is_dir())


def known_datasets() -> list[str]:
    """Names of the datasets this package has settings for."""
    return sorted(path.stem for path in (properties_folder() / "dataset").glob("*.yaml"))


def committed_data_folder() -> Path:
    """`dataset_atomic/` of a checkout: data sets that come with the repository."""
    return Path(__file__).resolve().parent.parent / "dataset_atomic"


def datasets_at_hand(data_path: str | Path) -> list[str]:
    """Names of the datasets that run without further ado: RecBole's, the committed ones, those in `data_path`."""
    folders = [folder for parent in (committed_data_folder(), Path(data_path)) for folder in parent.glob("*")]
    return ["ml-100k", *sorted({folder.name for folder in folders if (folder / f"{folder.name}.inter").is_file()})]


def rebuild_config(values: Mapping[str, Any]) -> Any:
    """RecBole's Config from the plain settings in one of our checkpoints."""
    from recbole.config import Config

    kept = {key: value for key, value in values.items() if key not in COMPUTED_KEYS}
    kept["data_path"] = os.path.dirname(kept["data_path"])
    build = without_arguments(Config)
    return build(model=kept["model"], dataset=kept["dataset"], config_dict=kept)


def plain_config(config: Any) -> dict[str, Any]:
    """Every setting of a Config as plain data, as stored in checkpoints and records."""
    return plain(config.final_config_dict)


# ---------------------------------------------------------------------------------------------- RecBole
def register() -> None:
    """Make RecBole find every row of the table by name; safe to call again."""
    for row in MODELS.values():
        _register_class(row)
    _register_metric()
    _hook_config()
    _hook_data_loader()
    _hook_several_processes()


def _register_class(row: ModelRow) -> None:
    dataset_module = importlib.import_module("recbole.data.dataset")
    trainer_module = importlib.import_module("recbole.trainer")
    if row.ours:
        package = importlib.import_module("recbole.model.sequential_recommender")
        alias = f"{package.__name__}.{row.name.lower()}"
        if alias not in sys.modules:
            sys.modules[alias] = _LazyModule(alias, row)
            setattr(package, row.name.lower(), sys.modules[alias])
        setattr(dataset_module, row.name + "Dataset", _our_dataset)
        setattr(trainer_module, row.name + "Trainer", _our_trainer)
        return
    sequential = "sequential" in row.location
    plain_dataset = dataset_module.SequentialDataset if sequential else dataset_module.Dataset
    for module, suffix, ours, default in [
        (dataset_module, "Dataset", _our_dataset, plain_dataset),
        (trainer_module, "Trainer", _our_trainer, trainer_module.Trainer),
    ]:
        theirs = getattr(module, row.name + suffix, default)
        if not hasattr(theirs, "chooses_by_config"):
            setattr(module, row.name + suffix, _chosen_by_config(ours, theirs))


class _LazyModule(types.ModuleType):
    """`recbole.model.sequential_recommender.<model>`: imports our class when RecBole asks for it."""

    def __init__(self, alias: str, row: ModelRow):
        super().__init__(alias, f"{row.name}, provided by recbole_marn.")
        self.__spec__ = importlib.machinery.ModuleSpec(alias, loader=None)
        self._row = row

    def __getattr__(self, name: str) -> Any:
        if name == self._row.name:
            return model_class(name)
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")


def _our_dataset(config: Any) -> Any:
    from recbole_marn.data.ctr_dataset import CTRDataset

    return CTRDataset(config)


def _our_trainer(config: Any, model: Any) -> Any:
    from recbole_marn.trainer import CTRTrainer

    if not config["single_spec"]:
        from recbole_marn.distributed import DistributedTrainer

        return DistributedTrainer(config, model)
    return CTRTrainer(config, model)


def _chosen_by_config(ours: Any, theirs: Any) -> Any:
    """RecBole's class for plain RecBole runs, ours for runs on our rows."""

    @functools.wraps(theirs, updated=())
    def choose(config: Any, *args: Any) -> Any:
        return (ours if uses_our_rows(config) else theirs)(config, *args)

    choose.chooses_by_config = True
    return choose


def _register_metric() -> None:
    from recbole.evaluator import register as registry

    from recbole_marn.trainer import UAUC

    registry.metrics_dict["uauc"] = UAUC
    registry.metric_types["uauc"] = UAUC.metric_type
    registry.metric_information["uauc"] = UAUC.metric_need


def _hook_data_loader() -> None:
    utils = importlib.import_module("recbole.data.utils")
    original = utils.get_dataloader
    if hasattr(original, "chooses_by_config"):
        return

    @functools.wraps(original)
    def get_dataloader(config: Any, phase: str) -> Any:
        if not uses_our_rows(config):
            return original(config, phase)
        from recbole_marn.data.loader import CTRDataLoader

        return CTRDataLoader

    get_dataloader.chooses_by_config = True
    utils.get_dataloader = get_dataloader


def _hook_several_processes() -> None:
    """RecBole's `run(..., nproc=2)` starts processes that know its own models alone, and only on GPUs: ours does it."""
    package = importlib.import_module("recbole.quick_start")
    original = package.run
    if hasattr(original, "chooses_by_config"):
        return

    @functools.wraps(original)
    def run(
        model: str, dataset: str, config_file_list: Any = None, config_dict: Any = None, saved: bool = True,
        nproc: int = 1, world_size: int = -1, **network: Any,
    ) -> Any:  # fmt: skip
        row = MODELS.get(model)
        ours = row is not None and (row.ours or bool((config_dict or {}).get("same_rows")))
        if not ours or (nproc == 1 and world_size <= 1):
            return original(model, dataset, config_file_list, config_dict, saved, nproc, world_size, **network)
        if world_size not in (-1, nproc):
            raise InputError(
                "all processes of a run on one machine",
                f"world_size={world_size} with nproc={nproc}",
                "Leave world_size out; many machines are for searching settings (recbole-marn tune --engine=ray).",
            )
        from recbole_marn import quick_start

        return quick_start.run(model, dataset, config_file_list, config_dict, saved, nproc)

    run.chooses_by_config = True
    package.run = importlib.import_module("recbole.quick_start.quick_start").run = run


def _hook_config() -> None:
    """Add our YAML files after RecBole's own: its files, loaded after the model's, would win otherwise."""
    from recbole.config import Config
    from recbole.utils import argument_list

    for kind in (DataSettings,):
        for field in dataclasses.fields(kind):
            if field.name not in argument_list.dataset_arguments:
                argument_list.dataset_arguments.append(field.name)
    original = Config._load_internal_config_dict
    if hasattr(original, "adds_our_files"):
        return

    @functools.wraps(original)
    def load(self: Config, model: str, model_class: type, dataset: str) -> None:
        original(self, model, model_class, dataset)
        row = MODELS.get(model)
        if row is None or not (row.ours or self.external_config_dict.get("same_rows")):
            return
        known = (
            set(self.internal_config_dict) | RECBOLE_KEYS | {key for keys in self.parameters.values() for key in keys}
        )
        folder = properties_folder()
        for file in ("overall.yaml", f"dataset/{dataset}.yaml", f"model/{model}.yaml"):
            if (folder / file).is_file():
                self._update_internal_config_dict(str(folder / file))
        if row.ours and not (folder / f"model/{model}.yaml").is_file():
            raise FileNotFoundError(f"properties/model/{model}.yaml is missing from this installation")
        check_keys(row, known, self.external_config_dict)
        check_host_settings(self.external_config_dict, self.internal_config_dict)
        if (committed_data_folder() / dataset / f"{dataset}.inter").is_file():
            given = os.path.join(self.external_config_dict.get("data_path", "dataset"), dataset)
            if not os.path.isdir(given):
                self.external_config_dict["data_path"] = str(committed_data_folder())

    load.adds_our_files = True
    Config._load_internal_config_dict = load


def check_keys(row: ModelRow, recbole_keys: set[str], given: Mapping[str, Any]) -> None:
    """Refuse keys that neither RecBole nor a settings dataclass of this run knows, and values of the wrong kind."""
    kinds = [DataSettings, TrainSettings] + ([row.settings] if row.settings else [])
    ours = {field.name for kind in kinds for field in dataclasses.fields(kind)} | {"same_rows"}
    for key in given:
        if key not in ours and key not in recbole_keys:
            raise InputError(
                f"a setting known to {row.name}, its data or RecBole",
                f"'{key}'",
                f"Correct or remove the key.{nearest(key, ours | recbole_keys)}",
            )
    for kind in kinds:
        from_mapping(kind, given, complete=False)
    for key in ("save_dataset", "save_dataloaders"):
        if given.get(key):
            raise InputError(f"'{key}' to be false", "true", "Rows are built in seconds and are checked each time.")
