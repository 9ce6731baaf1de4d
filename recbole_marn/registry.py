"""THE table of what exists: models, where they were published, and the folders of settings and data sets."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recbole_marn.errors import InputError, without_recbole
from recbole_marn.settings.models import (
    CTRSettings,
    DecoupledMFSettings,
    DenseFusionSettings,
    DIENSettings,
    DINSettings,
    DUPNSettings,
    EmbeddingSettings,
    HSTUSettings,
    MARNSettings,
    MMSSSettings,
    NAMLSettings,
    QINSettings,
    RankingSettings,
    RecBoleAutoIntSettings,
    RecBoleDCNV2Settings,
    RecBoleDIENSettings,
    RecBoleDINSettings,
    RecBoleMLPSettings,
    RecBoleXDeepFMSettings,
    SimTierSettings,
    TransformerDCNSettings,
    XDeepFMSettings,
)
from recbole_marn.settings.parsing import from_mapping, nearest

__all__ = [
    "MODELS",
    "ModelRow",
    "atomic_files",
    "choices",
    "committed_data_folder",
    "datasets_at_hand",
    "known_datasets",
    "model_class",
    "properties_folder",
    "recbole_folder",
    "settings_of",
]


@dataclass(frozen=True)
class ModelRow:
    """One model: where its class is, which settings it takes, and where it was published.

    With `preset_of` it is another model of the table under the choices of its own YAML file; `needs` is a kind of
    modality without which it cannot be built.
    """

    name: str
    location: str
    settings: type
    paper: str
    preset_of: str | None = None
    needs: str | None = None

    @property
    def ours(self) -> bool:
        return self.location.startswith("recbole_marn.")

    @property
    def family(self) -> str:
        """What the rows of a table are told apart by."""
        if self.settings is RankingSettings:
            return "no embeddings"
        if not self.ours:
            return "IDs only"
        return "MARN" if issubclass(self.settings, MARNSettings) else "multimodal"


OURS = "recbole_marn.models."


def _preset(name: str, of: str, settings: type, paper: str) -> ModelRow:
    return ModelRow(name, OURS + "presets", settings, paper, preset_of=of)


def _recboles(name: str, settings: type, paper: str, family: str = "context_aware") -> ModelRow:
    return ModelRow(name, f"recbole.model.{family}_recommender.{name.lower()}", settings, paper)


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
        # Ours: MARN with what helped it on validation, one change at a time; and that without what earned nothing.
        _preset("MARNPlus", "MARN", MARNSettings, "this package (docs/models.md)"),
        _preset("MARNLean", "MARN", MARNSettings, "this package (docs/models.md)"),
        # Its rivals, fed with the same modalities.
        ModelRow("YoutubeNet", OURS + "rivals.youtube_net", CTRSettings, "Covington et al., RecSys 2016"),
        ModelRow("DUPN", OURS + "rivals.dupn", DUPNSettings, "Ni et al., KDD 2018"),
        ModelRow("MultimodalDIN", OURS + "rivals.multimodal_din", DINSettings, "Zhou et al., KDD 2018"),
        ModelRow("MultimodalDIEN", OURS + "rivals.multimodal_dien", DIENSettings, "Zhou et al., AAAI 2019"),
        ModelRow("MultimodalxDeepFM", OURS + "rivals.multimodal_xdeepfm", XDeepFMSettings, "Lian et al., KDD 2018"),
        ModelRow(
            "DenseMultimodalFusion",
            OURS + "rivals.dense_multimodal_fusion",
            DenseFusionSettings,
            "Hu et al., ICASSP 2019",
        ),
        ModelRow("MMSS", OURS + "rivals.mmss", MMSSSettings, "Li et al., IJCAI 2018"),
        ModelRow("NAML", OURS + "rivals.naml", NAMLSettings, "Wu et al., IJCAI 2019"),
        # Rivals of today, with the same modalities.
        ModelRow("SimTier", OURS + "rivals.sim_tier", SimTierSettings, "Sheng et al., CIKM 2024", needs="vector"),
        ModelRow(
            "DecoupledMF",
            OURS + "rivals.decoupled_mf",
            DecoupledMFSettings,
            "Fan et al., 2025, arXiv 2510.11066",
            needs="vector",
        ),
        ModelRow("QIN", OURS + "rivals.qin", QINSettings, "Li et al., 2025, arXiv 2504.17699"),
        ModelRow(
            "TransformerDCN",
            OURS + "rivals.transformer_dcn",
            TransformerDCNSettings,
            "Xu et al., 2025, arXiv 2505.03543",
        ),
        ModelRow("HSTU", OURS + "rivals.hstu", HSTUSettings, "Zhai et al., ICML 2024"),
        # Rankings without item vectors.
        ModelRow("ItemCF", OURS + "baselines.item_cf", RankingSettings, "Sarwar et al., WWW 2001"),
        ModelRow("Popularity", OURS + "baselines.popularity", RankingSettings, "training count of the candidate"),
        ModelRow("RandomScore", OURS + "baselines.random_score", RankingSettings, "a hash of user and item"),
        # RecBole's own models, trained and scored on the same rows: the ID-only anchors.
        _recboles("LR", EmbeddingSettings, "Richardson et al., WWW 2007"),
        _recboles("FM", EmbeddingSettings, "Rendle, ICDM 2010"),
        _recboles("WideDeep", RecBoleMLPSettings, "Cheng et al., DLRS 2016"),
        _recboles("DeepFM", RecBoleMLPSettings, "Guo et al., IJCAI 2017"),
        _recboles("xDeepFM", RecBoleXDeepFMSettings, "Lian et al., KDD 2018"),
        _recboles("AutoInt", RecBoleAutoIntSettings, "Song et al., CIKM 2019"),
        _recboles("DCNV2", RecBoleDCNV2Settings, "Wang et al., WWW 2021"),
        _recboles("DIN", RecBoleDINSettings, "Zhou et al., KDD 2018", "sequential"),
        _recboles("DIEN", RecBoleDIENSettings, "Zhou et al., AAAI 2019", "sequential"),
    ]
}


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


def _folder(name: str) -> Path:
    """A folder that is inside the package once that is installed from a wheel, and beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def properties_folder() -> Path:
    """The folder of YAML files."""
    return _folder("properties")


def choices(kind: str, name: str) -> dict[str, Any]:
    """What a YAML file of this package says of a data set or a model (`kind`): where it deviates from the defaults."""
    file = properties_folder() / kind / f"{name}.yaml"
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.is_file() else {}


def known_datasets() -> list[str]:
    """Names of the datasets this package has settings for."""
    return sorted(path.stem for path in (properties_folder() / "dataset").glob("*.yaml"))


def committed_data_folder() -> Path:
    """`dataset_atomic/`: data sets that come with this package."""
    return _folder("dataset_atomic")


def recbole_folder() -> Path | None:
    """Where RecBole's package lies, found without importing it; None where it is not installed."""
    spec = importlib.util.find_spec("recbole")
    return None if spec is None or not spec.submodule_search_locations else Path(spec.submodule_search_locations[0])


def atomic_files(config: Any) -> tuple[Path, str]:
    """Folder and name of the atomic files of a Config: of another data set where `atomic_files` says so."""
    folder, own = Path(config["data_path"]), config["dataset"]
    name = config["atomic_files"] or own
    if name == own:
        return folder, own
    if name == "ml-100k":  # lies in RecBole's package
        recbole = recbole_folder()
        if recbole is None:
            raise without_recbole()
        return recbole / "dataset_example" / name, name
    beside = folder.parent / name
    return (beside if beside.is_dir() else committed_data_folder() / name), name


def datasets_at_hand(data_path: str | Path) -> list[str]:
    """Names of the datasets that run without further ado: RecBole's, the committed ones, those in `data_path`."""
    folders = [folder for parent in (committed_data_folder(), Path(data_path)) for folder in parent.glob("*")]
    return [
        "ml-100k",
        "ml-100k-labels",
        *sorted({folder.name for folder in folders if (folder / f"{folder.name}.inter").is_file()}),
    ]
