"""What a raw file is by its first bytes, so that one of another kind is named instead of read as odd text."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from recbole_marn.errors import InputError

__all__ = ["GZIP", "HEAD_BYTES", "PARQUET", "need_file", "refuse_archive", "refuse_binary"]

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
HEAD_BYTES = 512  # a tar archive is known by what stands at byte 257
_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
}
_BINARY = {
    PARQUET: "a Parquet file",
    b"ARROW1": "an Arrow (Feather) file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
}
_WIDE_TEXT = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def need_file(path: Path, what: str = "a file") -> Path:
    """`path`, if it is a file that ends.

    Raises:
        InputError: it does not exist, is a folder, or is a pipe or device, which might never end.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        got = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be reached ({error.strerror})"
        raise InputError(what, f"{path}, which {got}", "Check the path.") from None
    if stat.S_ISDIR(mode):
        raise InputError(what, f"{path}, which is a folder", "Name the file in it.")
    if not stat.S_ISREG(mode):
        raise InputError(what, f"{path}, which is a pipe or a device", "Save its content as a file first.")
    return path


def _kind(head: bytes, kinds: dict[bytes, str]) -> str | None:
    return next((kind for magic, kind in kinds.items() if head.startswith(magic)), None)


def refuse_archive(path: Path, head: bytes) -> None:
    """Raise `InputError` when `head`, the first `HEAD_BYTES` of a file, is that of an archive other than gzip."""
    kind = _kind(head, _ARCHIVES)
    if kind == "a ZIP archive" and b"[Content_Types].xml" in head:
        raise InputError(f"a table at {path}", "an Excel workbook", "Save the sheet as CSV (UTF-8).")
    if kind is None and head[257:262] == b"ustar":
        kind = "a tar archive"
    if kind is not None:
        raise InputError(f"plain or gzipped data at {path}", kind, "Unpack it and name the file inside.")


def refuse_binary(path: Path, head: bytes) -> None:
    """Raise `InputError` when `head` is no beginning of UTF-8 text."""
    wide = _kind(head, _WIDE_TEXT)
    nulls = head.count(b"\0")
    if wide is None and head and nulls > 0.3 * len(head):
        wide = "UTF-16 without a byte order mark" if nulls < 0.7 * len(head) else None
        if wide is None:
            raise InputError(f"text at {path}", "zero bytes", "The file is damaged or of another kind; get it again.")
    if wide is not None:
        raise InputError(f"UTF-8 text at {path}", wide, f"Save it as UTF-8 (iconv -f {wide.split()[0]} -t UTF-8).")
    kind = _kind(head, _BINARY)
    if kind is not None:
        hint = "It is gzipped; unpack it." if kind == "a Parquet file" else "Export it as CSV, JSON lines or Parquet."
        raise InputError(f"text at {path}", kind, hint)
