"""One file per kind of raw data; `recbole_marn.prepare.registry` lists them by dataset name."""
