"""Official files from the network: resumed, checked against what is known of them, never over an existing file."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from functools import partial
from pathlib import Path

from tqdm import tqdm

from recbole_marn.errors import InputError
from recbole_marn.files import flush, sha256, write_aside
from recbole_marn.prepare.sources import RawFile, Source, locate

__all__ = ["fetch", "fetch_missing"]

_TIMEOUT = 20  # seconds without an answer
_PIECE = 1 << 20


def fetch_missing(source: Source, raw: Path) -> list[str]:
    """Download the files of `source` that are not in `raw` yet and that their publisher gives without a login.

    Returns:
        Notes on optional files that could not be had.

    Raises:
        InputError: a required file is missing and cannot be had; it says what to put where.
    """
    notes = []
    for file in source.files:
        if locate(raw, file.name) is not None:
            (raw / f"{file.name}.part").unlink(missing_ok=True)  # of a run that was killed; the file came otherwise
            continue
        if file.url is None:
            continue
        try:
            target = raw / file.url.rsplit("/", 1)[1]
            fetch(file, target)
            if target.suffix == ".zip":
                _unpack(target, raw, source)
        except (urllib.error.URLError, OSError, TimeoutError) as error:
            if file.required:
                raise InputError(
                    f"{file.name} in {raw}, or a network to download it",
                    f"neither ({file.url}: {error})",
                    f"{source.instructions()} Start the same command again when they are there.",
                ) from error
            notes.append(f"{file.name} ({file.what}) could not be downloaded: {error}")
    return notes


def fetch(file: RawFile, target: Path) -> Path:
    """Download `file.url` to `target`, going on from `target.part` if an earlier try was interrupted.

    The size is checked against the server's word and the MD5 against the publisher's where there is one; the
    SHA-256 is kept in `target.sha256`, so that a later change on the server or on the disk can be seen.

    Raises:
        InputError: the file came, but is not the one it should be.
        urllib.error.URLError, OSError: the network does not allow it.
    """
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        part.unlink()  # the part is not shorter than the file: it is of another file
        return fetch(file, target)
    with answer:
        target.parent.mkdir(parents=True, exist_ok=True)
        if answer.status != 206:
            start = 0  # the server sends the whole file again
        total = start + int(answer.headers["Content-Length"]) if answer.headers["Content-Length"] else None
        free = shutil.disk_usage(target.parent).free
        if total is not None and total - start > free:
            raise InputError(
                f"{total - start >> 20:,} MB of disk for {target}",
                f"{free >> 20:,} MB",
                "Free some or choose another --raw.",
            )
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=target.name, disable=None)
        with open(part, "ab" if start else "wb") as out, bar:
            while piece := answer.read(_PIECE):
                out.write(piece)
                bar.update(len(piece))
    size = part.stat().st_size
    if total is not None and size != total:
        raise OSError(f"the connection broke after {size:,} of {total:,} bytes; start again to go on from there")
    if file.md5 and (found := _md5(part)) != file.md5:
        part.unlink()
        raise InputError(
            f"MD5 {file.md5} for {file.url}",
            found,
            "Start again; if it happens twice, the publisher changed the file.",
        )
    target.with_name(target.name + ".sha256").write_text(f"{sha256(part)}  {target.name}\n", encoding="utf-8")
    flush(part)
    os.replace(part, target)
    return target


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _unpack(archive: Path, raw: Path, source: Source) -> None:
    """Take the files of `source` out of a zip archive, by name and nothing else, so no path in it can lead astray."""
    wanted = {file.name for file in source.files}
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                name = member.filename.rsplit("/", 1)[-1]
                if name in wanted and not (raw / name).exists():
                    write_aside(raw / name, partial(_take_out, packed, member))
    except zipfile.BadZipFile as error:
        raise InputError(
            f"a whole zip archive at {archive}", f"a damaged one ({error})", "Delete it and start again."
        ) from error


def _take_out(packed: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    with packed.open(member) as inside, open(path, "wb") as out:
        shutil.copyfileobj(inside, out, _PIECE)
