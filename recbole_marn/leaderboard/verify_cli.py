"""The `verify` sub-command."""

from recbole_marn.leaderboard.cli import add_verify_arguments as add_arguments
from recbole_marn.leaderboard.cli import verify_main as main

__all__ = ["add_arguments", "main"]
