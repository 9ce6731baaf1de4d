"""From atomic files to labelled rows, ragged histories and per-item tables."""
