"""`coflux assets` and `coflux blobs`: no engine runs in these tests."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import coflux as cf
from coflux import values
from coflux.cli import exits
from coflux.executor.blobs import FileBlobs
from coflux.executor.messages import Succeeded
from tests.cli.samples import Command, recording, succeeded

ROOT = str(Path(__file__).parents[2])


class Kept:
    """What the run `Rbcd` made: step 2 `first`, and `second` in its second attempt; the root composed them."""

    def __init__(self, root: Path) -> None:
        self.blobs = FileBlobs(str(root / ".coflux" / "blobs"))
        (root / "work" / "d").mkdir(parents=True)
        (root / "work" / "a.txt").write_text("A")
        (root / "work" / "run").write_bytes(b"\x7fELF")
        (root / "work" / "run").chmod(0o755)
        (root / "work" / "d" / "b\x1b.csv").write_text("b" * 1234)
        os.chdir(root / "work")
        self.first = self._kept(cf.asset(name="first\x1b"))
        self.second = self._kept(cf.asset({"a.txt": "run"}))
        self.composed = self._kept(cf.asset({"1": self.first, "2": self.second}))
        (root / ".coflux").mkdir(exist_ok=True)
        with recording(root / ".coflux") as recorder:
            recorder.run("succeeded", settled=True)
            recorder.step(1, "nightly")
            recorder.execution(1, "succeeded", Succeeded(values.encode({"made": self.composed}, self.blobs)))
            recorder.step(2, "load")
            recorder.execution(2, "failed", following="Rbcd:2:2")
            recorder.execution(2, "succeeded", succeeded("1"), attempt=2)
            recorder.step(3, "count")
            recorder.execution(3, "succeeded", succeeded("1"))
            recorder.asset(2, self.first)
            recorder.asset(2, self.second, attempt=2)
            recorder.asset(1, self.composed)
            recorder.commit()
        os.chdir(root)

    def _kept(self, asset: cf.Asset) -> cf.Asset:
        return cf.Asset(asset.reference(self.blobs).id, self.blobs)


@pytest.fixture
def kept(coflux: Command, tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_assets_are_listed(coflux: Command, kept: Kept) -> None:
    status, out, _ = coflux("assets", "list", "Rb")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert [(line[0], line[3], " ".join(line[4:])) for line in lines] == [
        (kept.first.id[:12], "Rbcd:2:1", "3 files, 1.21 KiB first^["),
        (kept.second.id[:12], "Rbcd:2:2", "1 file, 4 bytes"),
        (kept.composed.id[:12], "Rbcd:1:1", "4 files, 1.21 KiB"),
    ]
    assert coflux("assets", "list", "Rbcd:2:2")[1].count("\n") == 1
    assert coflux("assets", "list", "Rbcd:3")[:2] == (0, "")
    (listed,) = json.loads(coflux("assets", "list", "Rbcd:2:1", "--json")[1])["assets"]
    assert listed == {
        "id": kept.first.id,
        "name": "first\x1b",
        "files": 3,
        "size": 1239,
        "execution": "Rbcd:2:1",
        "created_at": "2023-11-14T22:13:20.000000Z",
    }


def test_an_asset_is_inspected(coflux: Command, kept: Kept) -> None:
    status, out, _ = coflux("assets", "inspect", kept.first.id[:10])
    assert status == 0
    assert out == (
        f"asset {kept.first.id}\n"
        "first^[: 3 files, 1.21 KiB, made by Rbcd:2:1\n"
        "    1 byte  text/plain  a.txt\n"
        "  1.21 KiB  text/csv    d/b^[.csv\n"
        "   4 bytes              run\n"
    )
    document = json.loads(coflux("assets", "inspect", kept.first.id, "--match", "{run,a.*}", "--json")[1])
    assert document["version"] == 1
    (asset,) = document["assets"]
    assert (asset["id"], asset["files"], asset["made_by"]) == (kept.first.id, 3, ["Rbcd:2:1"])
    assert asset["entries"][1] == {
        "path": "run",
        "size": 4,
        "type": None,
        "mode": "755",
        "blob": kept.first["run"].blob,
    }


def test_a_run_stands_for_the_assets_in_its_result_or_else_for_those_it_made(coflux: Command, kept: Kept) -> None:
    def inspected(identifier: str) -> list[str]:
        return [asset["id"] for asset in json.loads(coflux("assets", "inspect", identifier, "--json")[1])["assets"]]

    assert inspected("Rbcd") == [kept.composed.id]
    assert inspected("Rbcd:2") == [kept.first.id, kept.second.id]
    assert inspected("Rbcd:2:2") == [kept.second.id]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("inspect Rnope", exits.NOT_FOUND, "there is no run 'Rnope'"),
        ("inspect Rbcd:9", exits.NOT_FOUND, "there is no step Rbcd:9"),
        ("list Rbcd:2:7", exits.NOT_FOUND, "there is no execution Rbcd:2:7"),
        ("inspect Rbcd:3", exits.NOT_FOUND, "Rbcd:3 has no assets"),
        (f"inspect {'0' * 64}", exits.NOT_FOUND, f"there is no asset '{'0' * 64}'; `coflux assets list RUN` shows"),
        ("inspect", exits.USAGE, "Missing argument"),
        ("inspect Rbcd --match {1..9999}", exits.USAGE, "--match='{1..9999}' is no pattern"),
        ("download Rbcd --match *.zip", exits.NOT_FOUND, "no file of Rbcd matches '*.zip'"),
        ("download Rbcd:2", exits.USAGE, "have different files 'a.txt': download them one by one, by their ids"),
    ],
)
def test_what_is_not_there(coflux: Command, kept: Kept, arguments: str, status: int, message: str) -> None:
    found = coflux("assets", *arguments.split())
    assert (found[0], found[1]) == (status, "")
    assert message in found[2]


def test_an_ambiguous_beginning_of_an_id_is_told(coflux: Command, kept: Kept) -> None:
    with recording(Path(".coflux")) as recorder:
        for ending in ("0", "1"):
            same = cf.Asset(f"abc{ending}", kept.blobs, kept.first._files())
            recorder.asset(3, same)
        recorder.commit()
    status, _, err = coflux("assets", "inspect", "abc")
    assert status == exits.NOT_FOUND
    assert "'abc' is the beginning of several assets: abc0, abc1" in err


def test_assets_are_downloaded(coflux: Command, kept: Kept, tmp_path: Path) -> None:
    """ASSET-12."""
    status, out, err = coflux("assets", "download", kept.first.id[:8], "--to", "new/place")
    assert (status, out) == (0, "a.txt\nd/b^[.csv\nrun\n")
    assert err == "3 files, 1.21 KiB written below new/place\n"
    place = tmp_path / "new" / "place"
    assert os.stat(place / "run").st_mode & 0o777 == 0o755
    # Nothing is replaced, and nothing else is written either, unless it is said.
    (place / "a.txt").write_text("mine")
    (place / "run").unlink()
    status, out, err = coflux("assets", "download", kept.first.id, "--to", "new/place")
    assert (status, out) == (exits.FAILED, "")
    assert err == f"coflux: {place}/a.txt: a file is there already; --force replaces files\n"
    assert (place / "a.txt").read_text() == "mine"
    assert not (place / "run").exists()
    assert coflux("assets", "download", kept.first.id, "--to", "new/place", "--force")[0] == 0
    assert (place / "a.txt").read_text() == "A"
    # What is no file stays, whatever is said.
    (place / "a.txt").unlink()
    (place / "a.txt").symlink_to(tmp_path / "elsewhere")
    status, _, err = coflux("assets", "download", kept.first.id, "--to", "new/place", "--force")
    assert (status, err) == (exits.FAILED, f"coflux: {place}/a.txt: a symbolic link is in its place\n")
    assert not (tmp_path / "elsewhere").exists()


def test_several_assets_are_downloaded_together(coflux: Command, kept: Kept, tmp_path: Path) -> None:
    assert coflux("assets", "download", "Rbcd", kept.first.id, "--to", "x", "--match", "{*/,}a.txt")[0] == 0
    assert sorted(str(path.relative_to("x")) for path in Path("x").rglob("*.txt")) == ["1/a.txt", "2/a.txt", "a.txt"]
    (tmp_path / "file").touch()
    status, _, err = coflux("assets", "download", "Rbcd", "--to", "file")
    assert (status, err) == (exits.FAILED, f"coflux: {tmp_path}/file cannot be written: this is no directory\n")


def test_what_the_store_has_lost_is_told(coflux: Command, kept: Kept) -> None:
    os.unlink(kept.blobs.path_of(kept.first["a.txt"].blob))
    status, _, err = coflux("assets", "download", kept.first.id, "--to", "x")
    assert (status, err.count("\n")) == (exits.FAILED, 1)
    assert "the content of 'a.txt' in <Asset first\\x1b: 3 files, 1.21 KiB>" in err
    os.unlink(kept.blobs.path_of(kept.composed.id))
    status, _, err = coflux("assets", "inspect", "Rbcd")
    assert status == exits.FAILED
    assert f"the list of the files of asset {kept.composed.id[:12]} is lost" in err


# -- blobs ------------------------------------------------------------------------------------------------------------


def test_a_blob_is_written(coflux: Command, kept: Kept, tmp_path: Path) -> None:
    digest = kept.first["a.txt"].blob
    assert coflux("blobs", "get", digest) == (0, "A", "")
    command = [sys.executable, "-m", "coflux", "blobs", "get", kept.first["run"].blob]
    piped = subprocess.run(command, env={**os.environ, "PYTHONPATH": ROOT}, check=True, capture_output=True)
    assert piped.stdout == b"\x7fELF"
    read, write = os.pipe()
    os.close(read)  # a reader that leaves before the end chose to
    left = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": ROOT}, stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (left.returncode, left.stderr) == (0, b"")
    assert coflux("blobs", "get", digest, "--output", "x.txt") == (0, "", "")
    assert Path("x.txt").read_text() == "A"
    status, _, err = coflux("blobs", "get", digest, "--output", "x.txt")
    assert (status, err) == (
        exits.FAILED,
        f"coflux: {tmp_path}/x.txt: a file is there already; --force replaces files\n",
    )
    assert coflux("blobs", "get", digest, "--output", "x.txt", "--force")[0] == 0


def test_a_terminal_is_not_upset(kept: Kept) -> None:
    def shown(digest: str) -> tuple[int, str, str]:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "coflux", "blobs", "get", digest]
        environment = {**os.environ, "PYTHONPATH": ROOT}
        with open(ours, "rb", buffering=0) as screen:
            done = subprocess.run(
                command, env=environment, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False
            )
            os.write(theirs, b"!")  # the end of what is to be read
            seen = b""
            while not seen.endswith(b"!"):
                seen += screen.read(100)
            os.close(theirs)
            return done.returncode, seen.decode(), done.stderr

    assert shown(kept.first["a.txt"].blob) == (0, "A!", "")
    status, out, err = shown(kept.first["run"].blob)
    assert (status, out) == (exits.USAGE, "!")
    assert "no text for a terminal: write it to a file with --output, or to a pipe" in err


def test_no_such_blob(coflux: Command, kept: Kept) -> None:
    for word in ("abc", "../../etc/passwd", "A" * 64, "0" * 65):
        status, _, err = coflux("blobs", "get", word)
        assert (status, "is no digest: it has 64 hexadecimal digits" in err) == (exits.USAGE, True)
    for arguments in ([], ["--output", "x/y"]):
        status, _, err = coflux("blobs", "get", "0" * 64, *arguments)
        assert (status, "there is no blob 000" in err) == (exits.NOT_FOUND, True)
    assert not Path("x").exists()
    digest = kept.first["a.txt"].blob
    Path(kept.blobs.path_of(digest)).write_text("B")
    for arguments in ([], ["--output", "y"]):
        status, out, err = coflux("blobs", "get", digest, *arguments)
        assert (status, out, "has the wrong content" in err) == (exits.FAILED, "", True)
    assert not Path("y").exists()
