"""Train and test a model: python run_recbole_marn.py --model=MARN --dataset=ml-100k [--key=value ...]"""

import sys

from recbole_marn.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
