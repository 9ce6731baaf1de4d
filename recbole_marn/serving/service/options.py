"""What a service is told when it starts; each worker gets a copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["LOOPBACK", "RANKED", "ServiceOptions"]

RANKED = 100  # items of the longest ranking
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServiceOptions:
    """How an export is served.

    Attributes:
        export: the folder, or a link to it.
        added: the file of items that were added while running.
        photos: a folder of pictures named by item, or None.
        host: address that is listened on.
        names: further ones that requests may call the service by, a proxy's say.
        token: what a request that adds items must bring; None: nobody has to bring one, and only where `host` is of
            this machine alone may items be added.
        timeout: seconds a request may take.
        largest_body: bytes of a request.
        waiting: requests of one worker that may be under way; further ones are refused.
        most_added: items that may have been added.
        retrieve: items of a short list that is scored in place of all; None: all are.
        look_every: seconds between looks for another export.
    """

    export: Path
    added: Path
    photos: Path | None = None
    host: str = LOOPBACK[0]
    names: tuple[str, ...] = ()
    token: str | None = None
    timeout: float = 10.0
    largest_body: int = 1 << 20
    waiting: int = 64
    most_added: int = 10_000
    retrieve: int | None = None
    look_every: float = 0.5

    @property
    def is_local(self) -> bool:
        """Whether this machine alone can reach the service."""
        return self.host in LOOPBACK
