"""Vectors are found by token, missing ones are masked, and a file that does not fit is refused with a reason."""

import numpy as np
import pytest
import torch

from recbole_marn.data.item_table import ItemTable, read_vectors, vectors_of_rows
from recbole_marn.errors import InputError

TOKEN_ID = {"[PAD]": 0, "007": 1, "7": 2, "b": 3, "c": 4}


def write(tmp_path, matrix, ids):
    np.save(tmp_path / "image.npy", matrix)
    (tmp_path / "image.ids").write_text("".join(f"{token}\n" for token in ids), encoding="utf-8")


def read(tmp_path):
    return read_vectors("image", tmp_path / "image.npy", tmp_path / "image.ids", TOKEN_ID, len(TOKEN_ID))


def error_of(tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path)
    return str(error.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_each_item_finds_its_row(tmp_path, dtype):
    matrix = np.arange(12, dtype=dtype).reshape(4, 3)
    write(tmp_path, matrix, ["c", "unknown", "007", "7"])
    table, note = read(tmp_path)
    assert table.row.tolist() == [-1, 2, 3, -1, 0]
    np.testing.assert_array_equal(table.matrix, matrix)
    assert table.matrix.dtype == dtype
    assert note == "image: 1 of 4 items have no vector and are masked"


def test_the_file_is_mapped_and_not_copied(tmp_path):
    write(tmp_path, np.zeros((2, 3), dtype=np.float16), ["b", "c"])
    matrix = read(tmp_path)[0].matrix
    assert isinstance(matrix, np.memmap)
    torch.from_numpy(matrix)[0, 0] = 1.0  # torch wants it writable; the file must not notice
    assert np.load(tmp_path / "image.npy")[0, 0] == 0


def test_lines_may_end_as_on_windows_and_the_last_one_without_an_end(tmp_path):
    write(tmp_path, np.zeros((2, 3), dtype=np.float16), ["b", "c"])
    (tmp_path / "image.ids").write_bytes(b"b\r\nc")
    assert read(tmp_path)[0].row.tolist() == [-1, -1, -1, 0, 1]


def test_no_vector_file(tmp_path):
    assert f"Expected the vectors of modality 'image'. Got no file {tmp_path}/image.npy." in error_of(tmp_path)
    assert "or leave the modality out with use_modalities" in error_of(tmp_path)


def test_no_ids_file(tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((2, 3), dtype=np.float16))
    assert "Expected the ids of modality 'image', one item token per line. Got no file" in error_of(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file(tmp_path, kept):
    write(tmp_path, np.zeros((2, 300), dtype=np.float32), ["b", "c"])
    whole = (tmp_path / "image.npy").read_bytes()
    (tmp_path / "image.npy").write_bytes(whole[:kept])
    assert "Expected a whole .npy file of the vectors of modality 'image'" in error_of(tmp_path)
    assert "It is truncated or of another format; write it anew." in error_of(tmp_path)


def test_pickled_objects_are_not_loaded(tmp_path):
    write(tmp_path, np.array([{"a": 1}, None], dtype=object), ["b", "c"])
    assert "cannot be read" in error_of(tmp_path)


def write_npz(file):
    np.savez(file, a=np.zeros((2, 3), np.float32))


def write_tensor(file):
    torch.save(torch.zeros(2, 3), file)


def write_old_tensor(file):
    torch.save(torch.zeros(2, 3), file, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("write_other", "kind"),
    [(write_npz, "an archive of arrays (.npz) or of tensors (.pt)"), (write_tensor, "an archive of arrays (.npz)"),
     (write_old_tensor, "a pickle, as torch.save or pickle.dump write")],
)  # fmt: skip
def test_another_kind_of_file_is_named(tmp_path, write_other, kind):
    write(tmp_path, np.zeros((2, 3), np.float32), ["b", "c"])
    with open(tmp_path / "image.npy", "wb") as file:
        write_other(file)
    text = error_of(tmp_path)
    assert f"Got {kind}" in text and text.endswith("Save the matrix alone with numpy.save.")


def test_ids_with_a_byte_order_mark_and_ids_that_are_no_utf8(tmp_path):
    write(tmp_path, np.zeros((2, 3), np.float16), ["b", "c"])
    (tmp_path / "image.ids").write_bytes("\ufeffb\nc\n".encode())
    assert read(tmp_path)[0].row.tolist() == [-1, -1, -1, 0, 1]
    (tmp_path / "image.ids").write_bytes(b"b\n\xff\xfe\n")
    assert "Expected item tokens in UTF-8" in error_of(tmp_path)


@pytest.mark.parametrize(
    "matrix", [np.zeros(3, np.float32), np.zeros((2, 3)), np.zeros((2, 3), np.int64), np.zeros((2, 0), np.float32),
               np.zeros((2, 3, 1), np.float32)],
)  # fmt: skip
def test_not_a_matrix_of_vectors(tmp_path, matrix):
    write(tmp_path, matrix, ["b", "c"])
    text = error_of(tmp_path)
    assert "Expected the vectors of modality 'image' to be a matrix (items, width) of float16 or float32." in text
    assert f"Got shape {matrix.shape} of {matrix.dtype} in image.npy." in text


def test_another_number_of_ids(tmp_path):
    write(tmp_path, np.zeros((2, 3), np.float32), ["b", "c", "7"])
    assert (
        "Expected as many ids as vectors for modality 'image'. Got 3 ids in image.ids and 2 vectors in image.npy."
        in error_of(tmp_path)
    )


def test_a_repeated_id(tmp_path):
    write(tmp_path, np.zeros((3, 3), np.float32), ["b", "c", "b"])
    assert "Expected each id of modality 'image' once. Got 1 repeated ids in image.ids." in error_of(tmp_path)


def test_no_known_id(tmp_path):
    write(tmp_path, np.zeros((2, 3), np.float32), ["07", "x"])
    assert "Got none of 2 ids known (first: '07'). Use the item tokens" in error_of(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 299, 511, 512])
def test_a_number_that_is_not_finite(tmp_path, value, where):
    matrix = np.zeros((513, 3), np.float32)
    matrix[where, 2] = value
    write(tmp_path, matrix, ["b", "c", *(f"x{i}" for i in range(511))])
    assert f"Got NaN or infinity in row {where} of image.npy." in error_of(tmp_path)


def test_vectors_of_the_item_file():
    table = vectors_of_rows([np.array([]), np.array([1.0, 2]), np.array([]), np.array([3.0, 4])], "sound")
    assert table.row.tolist() == [-1, 0, -1, 1]
    np.testing.assert_array_equal(table.matrix, np.array([[1, 2], [3, 4]], dtype=np.float32))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([[], [1.0, 2], [1.0]], "Expected vectors of one width in field 'sound'. Got widths [1, 2]."),
        ([[], []], "Got widths []."),
        ([[], [1.0, float("nan")]], "Got NaN or infinity in row 0 of sound."),
    ],
)
def test_vectors_of_the_item_file_that_do_not_fit(values, text):
    with pytest.raises(InputError) as error:
        vectors_of_rows([np.array(value) for value in values], "sound")
    assert text in str(error.value)


def test_names_keep_their_order():
    empty = np.zeros((1, 0), dtype=np.int64)
    assert ItemTable(1, {"b": None, "a": None}, empty, (), np.zeros((1, 2), bool)).names == ["b", "a"]
