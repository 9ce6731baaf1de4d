"""What each process of `data/test_made_once.py` does; a module of its own, so that processes can import it."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from same_parts import check_same_parts
from torch import distributed

from recbole_marn.data import rows as row_rules
from recbole_marn.data.loader import CTRDataLoader, build_loaders
from recbole_marn.data.made_once import MadeOnce
from recbole_marn.data.negatives import NegativeSampler
from recbole_marn.data.rows import Events
from recbole_marn.data.statistics import InteractionCounts
from recbole_marn.errors import InputError
from recbole_marn.quick_start import build_config

from recbole.data import create_dataset  # isort: skip

BUILDERS = [(row_rules, "sort_events"), (row_rules, "rows_of_part"), (NegativeSampler, "draw"),
            (NegativeSampler, "__init__"), (InteractionCounts, "__init__")]  # fmt: skip


def is_mapped(array: np.ndarray) -> bool:
    return isinstance(array.base, np.memmap) and not array.flags.writeable


def open_parts(rank: int, nproc: int, settings: dict[str, Any], port: str, folder: str) -> None:
    """The parts of a data set, and an epoch's negatives, as a single process has them; made in the first one alone."""
    tempfile.tempdir = folder
    world = {"world_size": nproc, "nproc": nproc, "ip": "localhost", "port": port, "offset": 0, "local_rank": rank}
    config = build_config(config_dict={**settings, **world})
    patches = [mock.patch.object(owner, name, side_effect=AssertionError(name)) for owner, name in BUILDERS]
    for patch in patches if rank else ():
        patch.start()
    dataset = create_dataset(config)
    loaders = build_loaders(config, dataset)
    for patch in patches if rank else ():
        patch.stop()
    assert not os.listdir(folder)
    for loader in loaders:
        rows, protocol = loader.part.rows, loader.part.protocol
        of_events = [rows.events.user, rows.events.item, rows.events.time, rows.events.behaviour]
        assert rows.events is protocol.events and all(map(is_mapped, of_events))
        assert all(ours is dataset.events.item for ours in (rows.events.item, protocol.events.item)), "mapped once"
        of_rows = [rows.rows.position, rows.rows.history_start, rows.rows.history_length, rows.negatives]
        touched = [sampler._touched._place for sampler in protocol._samplers.values()]
        assert all(map(is_mapped, [*of_rows, *touched, protocol.part_of_event]))
        if loader.part.features is not None:
            assert is_mapped(protocol.counts._order[1])
    alone = build_config(config_dict=settings)
    wanted = build_loaders(alone, create_dataset(alone))
    assert not is_mapped(wanted.train.part.rows.events.user)
    as_alone = [CTRDataLoader(alone, loader.part, shuffle=loader.part.name == "train") for loader in loaders]
    check_same_parts(wanted, as_alone)
    again, once = (train.part.resampled(3).rows.negatives for train in (loaders.train, wanted.train))
    np.testing.assert_array_equal(again, once)
    (Path(folder) / f"{rank}.done").touch()
    distributed.destroy_process_group()


def open_bad_parts(rank: int, nproc: int, settings: dict[str, Any], port: str, folder: str) -> None:
    """Every process ends with the complaint of the first."""
    world = {"world_size": nproc, "nproc": nproc, "ip": "localhost", "port": port, "offset": 0, "local_rank": rank}
    config = build_config(config_dict={**settings, **world})
    try:
        build_loaders(config, create_dataset(config))
    except InputError as error:
        (Path(folder) / f"{rank}.error").write_text(str(error))


def join(rank: int, world: int, here: int, port: str, folder: str) -> MadeOnce:
    """As one of `here` processes of a machine."""
    tempfile.tempdir = folder
    distributed.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=rank, world_size=world)
    return MadeOnce({"offset": rank // here * here, "local_rank": rank, "nproc": here})


def two_machines(rank: int, here: int, port: str, folder: str) -> None:
    """Each machine has what its own first process made."""
    make, first = join(rank, 4, here, port, folder), rank // here * here
    made: list[int] = []

    def events(number: int) -> Events:
        made.append(number)
        column = np.arange(100) + 1000 * rank + number
        return Events(column, column[::-1], np.zeros(0), None)

    one = make(lambda: events(1))
    two = make(lambda: {"again": one, "new": (events(2), ["told", rank])})
    assert made == ([1, 2] if rank == first else [])
    told, new = two["new"][1], two["new"][0]
    assert told == ["told", first]
    for found, number in ((one, 1), (two["again"], 1), (new, 2)):
        np.testing.assert_array_equal(found.user, np.arange(100) + 1000 * first + number)
        np.testing.assert_array_equal(found.item, found.user[::-1])
        assert found.time.shape == (0,) and is_mapped(found.user) == (here > 1)
    assert two["again"].user is one.user
    (Path(folder) / f"{rank}.done").touch()


def without_room(rank: int, here: int, port: str, folder: str) -> None:
    """On a full disk each process makes its own."""
    import resource

    make = join(rank, here, here, port, folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    found = make(lambda: (np.arange(5_000), np.arange(50_000) + rank))
    assert found[1][0] == rank and not is_mapped(found[0])
    (Path(folder) / f"{rank}.done").touch()


def killed(rank: int, here: int, port: str, folder: str) -> None:
    """The first process ends while it writes its second array."""
    make = join(rank, here, here, port, folder)
    save, saved = np.save, []

    def save_one(file: Any, array: np.ndarray, **options: Any) -> None:
        if saved:
            file.write(b"half of it")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        saved.append(save(file, array, **options))

    np.save = save_one
    make(lambda: (np.arange(5_000), np.arange(5_000) + 1))
    (Path(folder) / f"{rank}.done").touch()
