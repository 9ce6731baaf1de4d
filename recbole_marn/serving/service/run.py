"""A service from its options to its end: the socket, the log, the workers."""

from __future__ import annotations

import os
import socket
import tempfile
from functools import partial
from typing import Any

import uvicorn

from recbole_marn.errors import InputError, first_line
from recbole_marn.serving.service.options import ServiceOptions
from recbole_marn.serving.service.workers import Workers, started

__all__ = ["run"]

LOG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        name: {"handlers": ["stderr"], "level": "INFO", "propagate": False}
        for name in ("uvicorn", "recbole_marn.serve")
    },
}


def run(options: ServiceOptions, port: int, workers: int) -> int:
    """Serve until SIGTERM or Ctrl-C; requests under way are answered before a worker ends.

    Returns:
        0, or what `Workers.exit_code` says.

    Raises:
        InputError: the address cannot be listened on.
    """
    with _listening(options.host, port) as listening, tempfile.TemporaryDirectory() as counts:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = counts  # for the workers, which have yet to import prometheus_client
        config = uvicorn.Config(
            partial(_application, options), factory=True, workers=workers, lifespan="on", log_config=LOG,
            access_log=False, server_header=False, proxy_headers=False, ws="none",
            timeout_graceful_shutdown=int(options.timeout) + 1,
        )  # fmt: skip
        host, taken = listening.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{taken}"
        print(f"Serving {options.export} at {address} by {workers} workers; Ctrl-C stops it.", flush=True)
        supervisor = Workers(config, [listening])
        supervisor.run()
        return supervisor.exit_code


def _application(options: ServiceOptions) -> Any:
    def make() -> Any:
        from recbole_marn.serving.service.app import create_app  # in the worker

        return create_app(options)

    return started(make)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. asyncio sets it only where a socket names its protocol, and a listening one does not:
        # the body of an answer would wait 40 ms for the client to acknowledge its head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError) as error:
        raise InputError(
            f"an address to listen on, {host}:{port}", first_line(error), "Choose another --host or --port."
        ) from None
