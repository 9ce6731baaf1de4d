"""Raw files of plain numbers read many lines at once: columns where every line is spelled plainly, else lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from recbole_marn.data.twin import arrow
from recbole_marn.prepare.containers import refuse_binary
from recbole_marn.prepare.lines import LONGEST_LINE, Tally, head_of, open_raw, unbroken

__all__ = ["lines_of", "read_blocks", "read_columns"]

BLOCK = 1 << 24  # bytes
_POWERS = 10 ** np.arange(1, 19, dtype=np.int64)


def read_blocks(path: Path, tally: Tally) -> Iterator[tuple[int, bytes]]:
    """Yield `(number of the first line, from 1; whole lines)`, without a byte order mark.

    Raises:
        InputError: the gzip stream is truncated or damaged, or the file is no UTF-8 text at all.
    """
    number = 1
    with open_raw(path) as file, unbroken(path, tally):
        refuse_binary(path, head_of(file))
        while block := file.read(BLOCK):
            if not block.endswith(b"\n"):
                block += file.readline(LONGEST_LINE)
            yield number, block.removeprefix(codecs.BOM_UTF8) if number == 1 else block
            number += block.count(b"\n")


def lines_of(block: bytes, first: int, tally: Tally) -> Iterator[tuple[int, bytes]]:
    """Yield `(line number, line without its end)` of the lines of a block that are not blank."""
    for number, line in enumerate(block.split(b"\n"), first):
        if line := line.rstrip(b"\r"):
            tally.read += 1
            yield number, line


def read_columns(block: bytes, types: Mapping[str, type]) -> dict[str, np.ndarray] | None:
    """The columns of lines without a header, of whole numbers (int) and words (str), parted by commas.

    Args:
        types: name -> int or str, in the order of the columns.

    Returns:
        int64 numbers, and words as Arrow's dictionary; None without pyarrow, or where one line of the block is not
        spelled plainly: another number of cells, a sign, a leading zero, blanks, quotation marks, no line end.
    """
    pa = arrow()
    if pa is None or b'"' in block:
        return None
    coded = pa.dictionary(pa.int32(), pa.string())
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(block),
            read_options=pa.csv.ReadOptions(column_names=list(types), block_size=len(block) + 1, use_threads=False),
            parse_options=pa.csv.ParseOptions(quote_char=False),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: pa.int64() if kind is int else coded for name, kind in types.items()},
                null_values=[],
            ),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None
    columns, spelled = {}, table.num_rows * len(types)  # a comma or a line end behind each cell
    for name, kind in types.items():
        column = table.column(name).chunk(0)
        if kind is int:
            columns[name] = values = column.to_numpy()
            if (values < 0).any():
                return None
            spelled += len(values) + int(np.searchsorted(_POWERS, values, side="right").sum())
        else:
            columns[name] = column
            length = np.array([len(word.encode()) for word in column.dictionary.to_pylist()], dtype=np.int64)
            spelled += int(length[column.indices.to_numpy()].sum())
    # Whatever else a reader of numbers forgives would make the line longer than it is when spelled again.
    return columns if spelled == len(block) else None
