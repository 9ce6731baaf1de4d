"""`python -m recbole_marn` is `recbole-marn`."""

import sys

from recbole_marn.cli import main

sys.exit(main())
