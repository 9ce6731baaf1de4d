#!/usr/bin/env bash
# Builds the wheel and the source distribution into dist/, and the documentation site into site/.
# Once before: pip install -e ".[build]"
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf build dist site
python -m build --outdir dist
python tools/site.py

# What is in the wheel and needed at run time; a folder that is missing shows nowhere in a checkout.
python - <<'CHECK'
import sys
import zipfile
from pathlib import Path

(wheel,) = Path("dist").glob("*.whl")
held = set(zipfile.ZipFile(wheel).namelist())
folders = ("recbole_marn", "properties", "dataset_atomic", "benchmarks")
tracked = [path for folder in folders for path in Path(folder).rglob("*")]
needed = {
    path.as_posix() if path.parts[0] == "recbole_marn" else f"recbole_marn/{path.as_posix()}"
    for path in tracked
    if path.is_file() and "__pycache__" not in path.parts
}
missing = sorted(needed - held)
if missing:
    sys.exit(f"{wheel} lacks {len(missing)} files of the repository: {', '.join(missing[:5])}. Add them to setup.cfg.")
print(f"{wheel}: {len(held)} files, all {len(needed)} of the package among them")
CHECK
