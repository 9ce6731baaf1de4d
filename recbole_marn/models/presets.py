"""Models that are another one under other settings, e.g. the rows of MARN's Table 3.

A preset is a row of the table with `preset_of`, and a YAML file with its settings. Its class is made here when it is
first asked for, also by pickle.
"""

from __future__ import annotations

from recbole_marn.registry import MODELS, model_class


def __getattr__(name: str) -> type:
    row = MODELS.get(name)
    if row is None or row.preset_of is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    original = model_class(row.preset_of)
    doc = f"{row.paper}: {row.preset_of} with the settings of properties/model/{name}.yaml."
    globals()[name] = type(name, (original,), {"__module__": __name__, "__doc__": doc})
    return globals()[name]
