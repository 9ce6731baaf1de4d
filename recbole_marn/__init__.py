"""Multimodal click-through-rate prediction for RecBole.

Importing this package repairs RecBole 1.2.1 on today's libraries and makes every model here known to it by name.
"""

from recbole_marn import compat
from recbole_marn.version import __version__

compat.apply()

from recbole_marn import registration  # noqa: E402  (RecBole can only be imported once compat has been applied)

registration.register()

__all__ = ["__version__"]
