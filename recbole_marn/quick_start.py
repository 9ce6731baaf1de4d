"""The public Python face: run, search and load by name. Spawned processes and Ray workers import the plugin with it."""

from recbole_marn.host.config import build_config, read_files
from recbole_marn.training.metrics import named_metrics
from recbole_marn.training.objective import objective_function
from recbole_marn.training.prepared import Prepared, load_run, prepare_data, prepare_run
from recbole_marn.training.run import run

__all__ = [
    "Prepared",
    "build_config",
    "load_run",
    "named_metrics",
    "objective_function",
    "prepare_data",
    "prepare_run",
    "read_files",
    "run",
    "run_recbole_marn",
]

run_recbole_marn = run
