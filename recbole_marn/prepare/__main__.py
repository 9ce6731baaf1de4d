"""`python -m recbole_marn.prepare DATASET --raw DIR`."""

import argparse
import sys

from recbole_marn.prepare.cli import add_arguments, main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m recbole_marn.prepare", description=__doc__)
    add_arguments(parser)
    sys.exit(main(parser.parse_args()))
