"""The parts of a service that need no web framework: what is added, what is shown, pictures."""

import os
import threading

import pytest

from recbole_marn.errors import InputError
from recbole_marn.serving.service.added_file import AddedFile, AddedItem
from recbole_marn.serving.service.photos import ServedPhotos
from recbole_marn.serving.service.shown import Shown, ShownFacts


def item(name, **fields):
    return AddedItem(name, fields, {"image": [0.5]})


# ------------------------------------------------------------------------------------------------ added items
def test_what_one_appends_another_reads_on_from_where_it_was(tmp_path):
    writer, reader = AddedFile(tmp_path / "added"), AddedFile(tmp_path / "added")
    writer.append([item("a", title="línea\none")])
    first = reader.behind(0)
    assert first.items == [item("a", title="línea\none")] and first.end == reader.size()
    writer.append([item("b"), item("a", title="two")])
    assert reader.behind(first.end).items == [item("b"), item("a", title="two")]
    assert reader.behind(reader.size()).items == []


def test_a_line_that_was_cut_off_is_nothing_and_the_next_takes_its_place(tmp_path):
    file = AddedFile(tmp_path / "added")
    file.append([item("a")])
    end = file.size()
    with open(file.path, "ab") as cut:
        cut.write(b'[{"item": "half", "fiel' + b"x" * 200_000)
    tail = file.behind(0)
    assert [one.item for one in tail.items] == ["a"] and tail.end == end
    file.append([item("b")])
    assert [one.item for one in file.behind(end).items] == ["b"]
    assert b"half" not in file.path.read_bytes()


def test_lines_that_are_no_items_are_counted(tmp_path):
    file = AddedFile(tmp_path / "added")
    file.path.write_bytes(b'nonsense\n[{"item": "x"}]\n{"item": 3}\n')
    file.append([item("a")])
    tail = file.behind(0)
    assert ([one.item for one in tail.items], tail.unreadable) == (["a"], 3)


def test_writers_take_turns(tmp_path):
    files = [AddedFile(tmp_path / "added") for _ in range(4)]

    def write(number):
        for round_ in range(20):
            files[number].append([item(f"{number}-{round_}", title="x" * 1000)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tail = files[0].behind(0)
    assert tail.unreadable == 0 and len({one.item for one in tail.items}) == 80


def test_a_file_that_was_removed_starts_anew(tmp_path):
    file = AddedFile(tmp_path / "added")
    file.append([item("a")])
    end = file.size()
    file.path.unlink()
    assert file.size() == 0 and file.behind(end).items == []
    file.append([item("b")])
    assert [one.item for one in file.behind(end * 2).items] == ["b"]


def test_where_nothing_can_be_written_is_told(tmp_path):
    with pytest.raises(InputError, match="--added FILE"):
        AddedFile(tmp_path / "nowhere" / "added")


# ----------------------------------------------------------------------------------------------------- photos
def test_a_request_names_an_item_and_never_a_path(tmp_path):
    folder = tmp_path / "photos"
    (folder / "01").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (folder / "01" / "0123.JPG").write_bytes(b"picture")
    (folder / "a.png").write_bytes(b"")
    (folder / "page.svg").write_bytes(b"<svg onload='alert(1)'/>")
    (folder / "notes.txt").write_bytes(b"")
    os.symlink(tmp_path / "secret.jpg", folder / "link.jpg")
    photos = ServedPhotos(folder)
    assert len(photos) == 2 and "0123" in photos and "link" not in photos
    assert photos.of("0123") == (folder.resolve() / "01" / "0123.JPG", "image/jpeg")
    for name in ("../secret", "01/0123", "/etc/passwd", "page", "notes", "link", "", "nobody"):
        assert photos.of(name) is None


def test_a_folder_of_photos_that_is_missing_is_told(tmp_path):
    assert len(ServedPhotos(None)) == 0
    with pytest.raises(InputError, match="--photos"):
        ServedPhotos(tmp_path / "none")


# ------------------------------------------------------------------------------------------------------ shown
@pytest.fixture
def shown(tmp_path):
    (tmp_path / "codes.json").write_text('{"shown": {"title": "title", "about": ["kind"]}}', "utf-8")
    (tmp_path / "items.shown.jsonl").write_text(
        '{"title": "The Red House", "about": {"kind": "book"}}\n{"title": "", "about": {}}\n'
        '{"title": "red red RIVER", "about": {"kind": ""}}\n', "utf-8",
    )  # fmt: skip
    return Shown.of(tmp_path, ["10", "20", "33"])


@pytest.mark.parametrize(("words", "found"), [
    ("red", ["10", "33"]), ("RED house", ["10"]), ("river red", ["33"]), ("20", ["20"]), ("", ["10", "20", "33"]),
    ("nothing", []), ("house river", []), ("3", ["33"]),
])  # fmt: skip
def test_items_are_found_by_words_of_title_and_id(shown, words, found):
    assert shown.search(words, 10) == found
    assert shown.search(words, 1) == found[:1]


def test_facts_are_those_of_the_export_or_what_was_told(shown):
    assert shown.facts("10") == ShownFacts("The Red House", {"kind": "book"})
    assert shown.facts("20") == ShownFacts("20", {}) and shown.facts("nobody") == ShownFacts("nobody", {})
    later = shown.with_items({"10": {"title": ["Blue", "House"], "kind": None, "price": 3}, "new": {}})
    assert later.facts("10") == ShownFacts("Blue House", {}) and later.search("house", 5) == ["10"]
    assert later.search("new", 5) == ["new"] and shown.facts("10").title == "The Red House"
