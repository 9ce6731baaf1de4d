"""What a new process does that imports RecBole first. Importing this file imports neither RecBole nor our package."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any


def recbole_first(checkpoint: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Import RecBole, then recbole_marn; load a checkpoint and run a model through RecBole's names."""
    import torch

    if version("numpy").startswith("1."):
        import recbole.quick_start  # noqa: F401
    else:
        # There RecBole cannot be imported before recbole_marn has given numpy its old names back.
        import recbole_marn  # noqa: F401
    from recbole.data import create_dataset, data_preparation
    from recbole.quick_start import load_data_and_model, run_recbole
    from recbole.utils import get_model, get_trainer

    import recbole_marn  # noqa: F401, F811

    config, model, dataset, _, _, test = load_data_and_model(checkpoint)
    score = get_trainer(config["MODEL_TYPE"], "MARN")(config, model).scores(test)["score"]
    train, *_ = data_preparation(config, create_dataset(config))
    return {
        "anomaly": torch.is_anomaly_enabled(),
        "model": get_model("MARN").__module__,
        "dataset": type(dataset).__name__,
        "loader": type(train).__name__,
        "score": score,
        "auc": run_recbole(model="MARN", dataset="tiny", config_dict=settings)["test_result"]["auc"],
    }
