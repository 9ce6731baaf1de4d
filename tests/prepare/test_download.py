"""Downloads from a server on this machine: resumed, checked, never over an existing file."""

import hashlib
import http.server
import shutil
import threading
import types
import urllib.error
import zipfile

import pytest

from recbole_marn.errors import InputError
from recbole_marn.prepare.download import fetch, fetch_missing
from recbole_marn.prepare.sources import RawFile, Source

CONTENT = bytes(range(256)) * 40


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; `server.breaks_after` bytes it hangs up, `server.ranges` says whether it can resume."""

    def do_GET(self):
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.breaks_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        running.files, running.breaks_after, running.ranges, running.asked = {"/f.gz": CONTENT}, None, True, []
        # It looks a hundred times a second whether it is to end.
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield running
        running.shutdown()


def test_a_file_comes_whole_with_its_hash(tmp_path, server):
    target = fetch(RawFile("f", "", f"{server.url}/f.gz", hashlib.md5(CONTENT).hexdigest()), tmp_path / "new" / "f.gz")
    assert target.read_bytes() == CONTENT
    assert target.with_name("f.gz.sha256").read_text().split()[0] == hashlib.sha256(CONTENT).hexdigest()
    assert {path.name for path in target.parent.iterdir()} == {"f.gz", "f.gz.sha256"}


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(tmp_path, server, ranges):
    file, target = RawFile("f", "", f"{server.url}/f.gz"), tmp_path / "f.gz"
    server.ranges, server.breaks_after = ranges, 1000
    with pytest.raises(OSError, match="after 1,000 of 10,240"):
        fetch(file, target)
    assert not target.exists() and (tmp_path / "f.gz.part").stat().st_size == 1000
    server.breaks_after = None
    assert fetch(file, target).read_bytes() == CONTENT and server.asked == [None, "bytes=1000-"]


def test_a_part_that_is_too_long_is_thrown_away(tmp_path, server):
    (tmp_path / "f.gz.part").write_bytes(b"x" * 20_000)
    assert fetch(RawFile("f", "", f"{server.url}/f.gz"), tmp_path / "f.gz").read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused(tmp_path, server):
    with pytest.raises(InputError, match="MD5 0000"):
        fetch(RawFile("f", "", f"{server.url}/f.gz", "0000"), tmp_path / "f.gz")
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_left_alone(tmp_path, server):
    (tmp_path / "f").write_text("mine")
    source = Source("s", (RawFile("f.gz", "", f"{server.url}/f.gz"),), "how")
    assert fetch_missing(source, tmp_path) == [] and server.asked == []
    assert (tmp_path / "f").read_text() == "mine"
    assert fetch(source.files[0], tmp_path / "f").read_text() == "mine" and server.asked == []


def test_what_cannot_be_had(tmp_path, server):
    required = Source("s", (RawFile("g.gz", "reviews", f"{server.url}/g.gz"),), "Get it from the shop.")
    with pytest.raises(InputError, match="g.gz in .* or a network.* 404.*Get it from the shop"):
        fetch_missing(required, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    optional = Source("s", (RawFile("g.gz", "images", f"{server.url}/g.gz", required=False),), "how")
    assert "g.gz (images) could not be downloaded" in fetch_missing(optional, tmp_path)[0]
    by_hand = Source("s", (RawFile("g.gz", "behind a login"),), "how")
    assert fetch_missing(by_hand, tmp_path) == []


def test_no_server_at_all(tmp_path):
    with pytest.raises(urllib.error.URLError):
        fetch(RawFile("f", "", "http://127.0.0.1:1/f"), tmp_path / "f")


def test_a_disk_too_small_is_seen_before(tmp_path, server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100))
    with pytest.raises(InputError, match="of disk for"):
        fetch(RawFile("f", "", f"{server.url}/f.gz"), tmp_path / "f.gz")


def test_an_archive_gives_its_files_by_name_only(tmp_path, server):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("ml/ratings.dat", "1::1::1::1")
        packed.writestr("../../evil/movies.dat", "m")
        packed.writestr("../../evil.txt", "e")
    server.files["/a.zip"] = archive.read_bytes()
    raw = tmp_path / "deep" / "er" / "raw"
    source = Source(
        "s", tuple(RawFile(name, "", f"{server.url}/a.zip") for name in ("ratings.dat", "movies.dat")), "how"
    )
    assert fetch_missing(source, raw) == [] and len(server.asked) == 1
    assert {path.name for path in raw.iterdir()} == {"a.zip", "a.zip.sha256", "ratings.dat", "movies.dat"}
    assert (raw / "movies.dat").read_text() == "m" and not (tmp_path / "deep" / "evil.txt").exists()

    server.files["/b.zip"] = archive.read_bytes()[:60]
    broken = Source("s", (RawFile("x", "", f"{server.url}/b.zip"),), "how")
    with pytest.raises(InputError, match="whole zip archive"):
        fetch_missing(broken, tmp_path / "raw")
