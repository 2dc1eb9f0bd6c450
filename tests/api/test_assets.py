"""Assets as the API makes and restores them: forms, paths, links, content. What the engine does with them: see
`tests/engine/test_scenarios_assets.py`."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import coflux as cf
from coflux import asset_manifest, asset_sources, backend
from coflux.asset_manifest import StoredFile, checked_path, new_manifest
from coflux.encoded import BlobDamaged, BlobMissing
from coflux.executor.blobs import FileBlobs
from coflux.globs import matching
from tests.api.fake_engine import FakeEngine

ROOT = Path(__file__).parents[2]
FILES = {"a.txt": "A", "c.txt": "C", "d/b.txt": "B", "images/x.csv": "X", "images/.y/z.csv": "Z", ".hidden": "H"}


@pytest.fixture
def blobs(engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileBlobs:
    """The store of an execution, whose directory has `FILES`."""
    write(tmp_path / "work", FILES)
    monkeypatch.chdir(tmp_path / "work")
    engine.store = store = FileBlobs(str(tmp_path / "blobs"))
    return store


def write(directory: Path, files: dict[str, str]) -> None:
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(content)


def contents(asset: cf.Asset, at: Path) -> dict[str, str]:
    return {path: file.read_text() for path, file in asset.restore(at=at).items()}


def count(blobs: FileBlobs) -> int:
    return sum(len(files) for _, _, files in os.walk(blobs.path_of("xx")[:-4]))


# -- what an asset is made of -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "paths"),
    [
        (lambda _: cf.asset(), sorted(FILES)),
        (lambda _: cf.asset("a.txt"), ["a.txt"]),
        (lambda _: cf.asset(Path("d/b.txt")), ["d/b.txt"]),
        (lambda here: cf.asset(here / "d" / "b.txt"), ["d/b.txt"]),
        (lambda _: cf.asset(["a.txt", Path("c.txt")]), ["a.txt", "c.txt"]),
        (lambda here: cf.asset(here.parent / "work" / ".." / "outside.txt"), ["outside.txt"]),
        (lambda _: cf.asset(iter(["a.txt", "./d/../c.txt"])), ["a.txt", "c.txt"]),
        (lambda _: cf.asset(at=Path("images")), [".y/z.csv", "x.csv"]),
        (lambda _: cf.asset("x.csv", at="images"), ["x.csv"]),
        (lambda _: cf.asset(["../a.txt", ".y/z.csv"], at="images"), [".y/z.csv", "a.txt"]),
        (lambda here: cf.asset("x.csv", at=here.parent / "link" / "images"), ["x.csv"]),
        (lambda here: cf.asset(here / "images" / "x.csv", at=here.parent / "link"), ["images/x.csv"]),
        (lambda _: cf.asset(match="*.txt"), ["a.txt", "c.txt"]),
        (lambda _: cf.asset(match="**/*.{txt,csv}"), ["a.txt", "c.txt", "d/b.txt", "images/.y/z.csv", "images/x.csv"]),
        (lambda _: cf.asset(["a.txt", "d/b.txt"], match="d/*"), ["d/b.txt"]),
        (lambda _: cf.asset({"img/1.jpg": "a.txt", Path("n/2"): Path("c.txt")}), ["img/1.jpg", "n/2"]),
        (lambda _: cf.asset({"1": cf.asset("d/b.txt"), "2/": cf.asset(at="images")}),
         ["1/d/b.txt", "2/.y/z.csv", "2/x.csv"]),
        (lambda _: cf.asset({".": cf.asset("d/b.txt"), "more": "a.txt"}), ["d/b.txt", "more"]),
        (lambda _: cf.asset({"e": cf.asset()["d/b.txt"]}), ["e"]),
        (lambda _: cf.asset({"1": cf.asset(), "2": cf.asset()}, match="*/a.txt"), ["1/a.txt", "2/a.txt"]),
        (lambda _: cf.asset(cf.asset(), match="*.txt", name="texts"), ["a.txt", "c.txt"]),
    ],
)  # fmt: skip
def test_forms(blobs: FileBlobs, tmp_path: Path, make: Callable[[Path], cf.Asset], paths: list[str]) -> None:
    """ASSET-S01 to S08: which files, at which paths."""
    write(tmp_path, {"outside.txt": "O"})
    (tmp_path / "link").symlink_to("work")
    asset = make(Path.cwd())
    assert [entry.path for entry in asset.entries] == paths
    restored = contents(asset, tmp_path / "restored")
    letters = {path: path[-5].upper() for path in paths if path.endswith((".txt", ".csv")) and path in FILES}
    assert restored | letters == restored


def test_what_was_read_is_what_is_kept(blobs: FileBlobs, tmp_path: Path) -> None:
    assert contents(cf.asset(), tmp_path / "restored") == FILES
    composed = cf.asset({"img/1.jpg": "a.txt", "2": cf.asset(at="images")})
    assert contents(composed, tmp_path / "again") == {"img/1.jpg": "A", "2/x.csv": "X", "2/.y/z.csv": "Z"}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cf.asset("missing.txt"), FileNotFoundError, r"no such file to keep: 'missing\.txt'"),
        (lambda: cf.asset("missing.txt"), ValueError, "missing"),
        (lambda: cf.asset(["a.txt", "missing.txt"]), ValueError, "missing"),
        (lambda: cf.asset({"x": "missing.txt"}), ValueError, "missing"),
        (lambda: cf.asset(at="missing"), ValueError, "no such directory to keep files of"),
        (lambda: cf.asset(at="a.txt"), NotADirectoryError, "a.txt"),
        (lambda: cf.asset(["d"]), ValueError, r"'d' is a directory: asset\(at='d'\) keeps the files below it"),
        (lambda: cf.asset({"x": "d"}), ValueError, "'d' is a directory"),
        (lambda: cf.asset("pipe"), ValueError, "'pipe' is neither a file nor a directory"),
        (lambda: cf.asset(at="empty"), ValueError, r"nothing for asset\(\) to keep: no file below 'empty'$"),
        (lambda: cf.asset([]), ValueError, "no file among what it was given"),
        (lambda: cf.asset({}), ValueError, "no file among what it was given"),
        (lambda: cf.asset(cf.asset("a.txt"), match="*.zip"), ValueError, r"matches '\*\.zip'"),
        (lambda: cf.asset(match="{1..100000}"), ValueError, "is no pattern"),
        (lambda: cf.asset(match=Path("*")), TypeError, "match must be a str"),  # type: ignore[arg-type]
        (lambda: cf.asset(["a.txt", "./a.txt"]), ValueError, "two files would be 'a.txt' in the asset"),
        (lambda: cf.asset({"x": cf.asset("a.txt"), "x/a.txt": "c.txt"}), ValueError, "two files would be 'x/a.txt'"),
        (lambda: cf.asset({"x": "a.txt", "x!": "a.txt", "x/y": "c.txt"}), ValueError, "'x' is a file of the asset"),
        (lambda: cf.asset({"../x": "a.txt"}), ValueError, "leads out of the asset"),
        (lambda: cf.asset({"x/../../y": "a.txt"}), ValueError, "leads out of the asset"),
        (lambda: cf.asset({"/etc/x": "a.txt"}), ValueError, "'/etc/x' is not relative"),
        (lambda: cf.asset({"a\0b": "a.txt"}), ValueError, "null character"),
        (lambda: cf.asset({"x\udcff": "a.txt"}), ValueError, "is not UTF-8, so it cannot be kept: rename it"),
        (lambda: cf.asset({"": "a.txt"}), ValueError, "empty path"),
        (lambda: cf.asset({".": "a.txt"}), ValueError, "no path of a file"),
        (lambda: cf.asset({"x": "a.txt"}, at="d"), ValueError, "at='d' has no meaning with a dict"),
        (lambda: cf.asset(cf.asset("a.txt"), at="d"), ValueError, "no meaning with an asset"),
        (lambda: cf.asset(3), TypeError, r"asset\(\) takes a path, a list of paths, an asset, or a dict .*, not 3"),  # type: ignore[arg-type]
        (lambda: cf.asset([b"a.txt"]), TypeError, "not b'a.txt'"),  # type: ignore[list-item]
        (lambda: cf.asset([cf.asset("a.txt")]), TypeError, "not <Asset"),  # type: ignore[list-item]
        (lambda: cf.asset(at=3), TypeError, "at of asset"),  # type: ignore[arg-type]
        (lambda: cf.asset("a.txt").restore(at=3), TypeError, "at of restore"),  # type: ignore[arg-type]
        (lambda: cf.asset("a.txt", name=""), ValueError, "must not be empty"),
        (lambda: cf.asset("a.txt", name="\udcff"), ValueError, "must be UTF-8"),
        (lambda: cf.asset("a.txt", name=3), TypeError, "name of an asset must be a str"),  # type: ignore[arg-type]
    ],
)
def test_refusals(blobs: FileBlobs, make: Callable[[], Any], error: type[Exception], message: str) -> None:
    """ASSET-S11, and all else that makes no asset."""
    Path("empty").mkdir()
    os.mkfifo("pipe")
    with pytest.raises(error, match=message):
        make()


def test_a_name_that_is_not_utf_8_is_refused(blobs: FileBlobs) -> None:
    with open(b"x\xff", "w"):
        pass
    with pytest.raises(ValueError, match=r"'x\\udcff' is not UTF-8"):
        cf.asset()


def test_names_of_any_other_kind_are_kept(blobs: FileBlobs, tmp_path: Path) -> None:
    names = {"C:\\x.txt": "1", "new\nline": "2", "\x1b[2J": "3", "ünï": "4", " ": "5", "-rf": "6", "{a,b}*": "7"}
    write(tmp_path / "odd", names)
    assert contents(cf.asset(at=tmp_path / "odd"), tmp_path / "restored") == names


# -- identity ---------------------------------------------------------------------------------------------------------


def test_equal_names_and_files_make_equal_assets(blobs: FileBlobs, engine: FakeEngine) -> None:
    """ASSET-6; S10."""
    asset = cf.asset(["c.txt", "a.txt"], name="texts")
    same = cf.asset({"a.txt": cf.asset()["a.txt"], "c.txt": "c.txt"}, name="texts")
    assert asset == same
    assert hash(asset) == hash(same)
    assert len(asset.id) == 64
    os.chmod("c.txt", 0o755)
    others = [cf.asset(["a.txt", "c.txt"]), cf.asset("a.txt", name="texts"), cf.asset(["a.txt", "c.txt"], name="texts")]
    assert len({asset, *others, asset.id}) == 5
    assert (asset.metadata.name, asset.metadata.total_count, asset.metadata.total_size) == ("texts", 2, 2)
    assert asset["a.txt"].size == 1
    assert asset["a.txt"].type == "text/plain"
    assert asset["a.txt"] == same["a.txt"]
    assert "a.txt" in asset
    assert "x" not in asset
    with pytest.raises(KeyError, match="x"):
        _ = asset["x"]
    with pytest.raises(TypeError, match="not iterable"):
        list(asset)  # type: ignore[call-overload]
    assert copy.deepcopy(asset) is copy.copy(asset) is asset
    assert repr(asset) == "<Asset texts: 2 files, 2 bytes>"
    assert repr(cf.asset("a.txt", name="a\x1b[2J\nb")) == r"<Asset a\x1b[2J\nb: 1 file, 1 byte>"
    assert repr(others[1]["a.txt"]) == "<AssetEntry 'a.txt', 1 byte>"
    with pytest.raises(TypeError, match="cannot pickle <Asset texts"):
        pickle.dumps([asset["a.txt"]])


def test_the_engine_is_told(blobs: FileBlobs, engine: FakeEngine) -> None:
    """With the blobs that may be new, which are to be on the disk before what refers to them."""
    asset = cf.asset(["a.txt", "d/b.txt"], name="texts")
    entry = asset["a.txt"]
    assert engine.assets == [(asset.id, "texts", 2, 2, {entry.blob, asset["d/b.txt"].blob, asset.id})]
    composed = cf.asset({"1": entry})
    assert engine.assets[1] == (composed.id, None, 1, 1, {composed.id})


def test_composing_copies_nothing(blobs: FileBlobs) -> None:
    """ASSET-S07: no source files are needed either."""
    first, second = cf.asset(["a.txt", "d/b.txt"]), cf.asset(at="images")
    for path in FILES:
        Path(path).unlink()
    before = count(blobs)
    cf.asset({"1": first, "2": second, "3": first["a.txt"]})
    assert count(blobs) == before + 1  # the list of its files
    cf.asset({"1": first, "2": second, "3": first["a.txt"]})
    assert count(blobs) == before + 1


def test_the_blobs_of_an_asset(blobs: FileBlobs) -> None:
    asset = cf.asset()
    data = b"".join(blobs.pieces(asset.id))
    assert asset_manifest.blobs_of(data) == {entry.blob for entry in asset.entries}
    assert {asset.id, *asset_manifest.blobs_of(data)} == {
        directory[-2:] + name for directory, _, names in os.walk(blobs.path_of("xx")[:-4]) for name in names
    }
    with pytest.raises(ValueError, match="no list of an asset's files"):
        asset_manifest.blobs_of(b"A")


# -- links ------------------------------------------------------------------------------------------------------------


def test_a_link_that_was_found_leads_nowhere_else(blobs: FileBlobs, engine: FakeEngine, tmp_path: Path) -> None:
    write(tmp_path, {"secret": "S", "other/secret": "S"})
    for link, target in {
        "d/in": "../a.txt", "d/out": str(tmp_path / "secret"), "d/relative": "../../secret", "gone": "nowhere",
        "directory": "images", "other": str(tmp_path / "other"), "loop": "loop",
    }.items():  # fmt: skip
        os.symlink(target, link)
    os.mkfifo("pipe")
    asset = cf.asset()
    assert {entry.path for entry in asset.entries} == {*FILES, "d/in"}
    assert contents(asset, tmp_path / "restored")["d/in"] == "A"
    assert not (tmp_path / "restored" / "d" / "in").is_symlink()
    [(_, text, values)] = engine.entries
    assert text is not None
    assert text.startswith("left out of an asset")
    assert values == {"paths": ["directory", "gone", "loop", "other", "pipe", "d/out", "d/relative"]}
    # But whoever names it, means it.
    named = cf.asset({"1": "d/out", "2": "other/secret"})
    assert contents(named, tmp_path / "named") == {"1": "S", "2": "S"}
    engine.entries.clear()
    cf.asset(match="*.txt")
    assert engine.entries == []


def test_a_file_that_becomes_a_link_while_it_is_collected_is_not_followed(blobs: FileBlobs, tmp_path: Path) -> None:
    os.symlink(tmp_path / "secret", "swapped")
    write(tmp_path, {"secret": "S"})
    with pytest.raises(OSError, match="swapped"):
        asset_sources.opened("swapped", follow=False)


def test_files_are_put_below_the_destination_only(blobs: FileBlobs, tmp_path: Path) -> None:
    """Whatever lies there: links out, links in, a directory, a file where a directory should be."""
    asset = cf.asset({"d/e/x": "a.txt", "y": "c.txt"})
    outside = tmp_path / "outside"
    kept = dict.fromkeys(("x", "y", "e/x"), "kept")
    write(outside, kept)
    obstacles: list[tuple[str, Callable[[Path], object]]] = [
        ("'d' on the way to it is a symbolic link", lambda at: (at / "d").symlink_to(outside)),
        ("'d' on the way to it is a symbolic link", lambda at: (at / "d").symlink_to("inside")),
        ("'e' on the way to it is a symbolic link", lambda at: (at / "inside").rename(at / "d")),
        ("'d' on the way to it is a file", lambda at: (at / "d").write_text("")),
        ("a symbolic link is in its place", lambda at: (at / "y").symlink_to(outside / "y")),
        ("a symbolic link is in its place", lambda at: (at / "y").symlink_to(outside / "new")),
        ("a directory is in its place", lambda at: (at / "y").mkdir()),
        ("something that is no file is in its place", lambda at: os.mkfifo(at / "y")),
    ]
    for number, (problem, put) in enumerate(obstacles):
        at = tmp_path / str(number)
        (at / "inside").mkdir(parents=True)
        (at / "inside" / "e").symlink_to(outside)
        put(at)
        with pytest.raises(FileExistsError, match=problem) as caught:
            asset.restore(at=at)
        assert caught.value.filename in (str(at / "d/e/x"), str(at / "y"))
        assert list(at.rglob(".coflux*")) == []
    assert {path: (outside / path).read_text() for path in ("x", "y", "e/x")} == dict.fromkeys(
        ("x", "y", "e/x"), "kept"
    )
    assert sorted(os.listdir(outside)) == ["e", "x", "y"]
    # The destination itself may be a link: it was named.
    (tmp_path / "named").symlink_to(outside)
    assert asset.restore(at=tmp_path / "named")["y"].read_text() == "C"
    assert (outside / "y").read_text() == "C"


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//b", "./a", "a/", ".", "", "a\0"])
def test_a_list_with_a_path_that_leads_out_is_refused(path: str) -> None:
    data = asset_manifest.encode(new_manifest(None, [StoredFile(path, "0" * 64, 1, 0o644)]))
    with pytest.raises(ValueError, match=r"path|null"):
        asset_manifest.decode(data)


@given(st.lists(st.sampled_from(["a", "..", ".", "", "b.txt", "...", "\\..", "\udcff", "\0", "/"])).map("/".join))
def test_a_path_in_an_asset_stays_below_any_directory(path: str) -> None:
    try:
        checked = checked_path(path)
    except ValueError:
        return
    assert checked_path(checked) == checked
    assert os.path.normpath(f"/x/{checked}") == f"/x/{checked}"


@given(st.lists(st.lists(st.sampled_from("ab!"), min_size=1, max_size=3).map("/".join), unique=True))
def test_no_path_is_a_file_and_a_directory(paths: list[str]) -> None:
    clash = any(below.startswith(f"{above}/") for above in paths for below in paths)
    try:
        asset_manifest.check_tree(paths)
    except ValueError:
        assert clash
    else:
        assert not clash


# -- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", "a.csv .h"),
        ("*.csv", "a.csv"),
        ("**", "a.csv .h d/a.csv d/e/b.txt d/.h/c"),
        ("**/*.csv", "a.csv d/a.csv"),
        ("d/*", "d/a.csv"),
        ("d/**", "d/a.csv d/e/b.txt d/.h/c"),
        ("*/*/*", "d/e/b.txt d/.h/c"),
        ("{a,b}.csv", "a.csv"),
        ("**/{a.csv,b.txt}", "a.csv d/a.csv d/e/b.txt"),
        ("?.csv", "a.csv"),
        ("[a-c].csv", "a.csv"),
        ("A.csv", ""),
        ("d", ""),
        ("", ""),
    ],
)
def test_patterns(pattern: str, matches: str) -> None:
    """D11 of the reference: one dialect, in `asset`, `restore` and on the command line."""
    assert matching(["a.csv", ".h", "d/a.csv", "d/e/b.txt", "d/.h/c"], pattern) == matches.split()


# -- restoring --------------------------------------------------------------------------------------------------------


def test_restoring(blobs: FileBlobs, tmp_path: Path) -> None:
    """ASSET-S09: content and permissions, whatever the umask; files are replaced, and entries restored one by one."""
    os.chmod("a.txt", 0o4751)
    os.chmod("c.txt", 0o400)
    asset = cf.asset()
    at = tmp_path / "new" / "place"
    at.mkdir(parents=True)
    os.chdir(at)
    old = os.umask(0o077)
    try:
        restored = asset.restore(match="*.txt")
        assert restored == {"a.txt": at / "a.txt", "c.txt": at / "c.txt"}
        assert [stat.S_IMODE(path.stat().st_mode) for path in restored.values()] == [0o751, 0o400]
        (at / "a.txt").write_text("changed")
        assert asset["a.txt"].restore().read_text() == "A"
    finally:
        os.umask(old)
    assert asset["d/b.txt"].restore(at="sub") == at / "sub" / "d" / "b.txt"
    assert asset.restore(match="*.zip", at="none") == {}
    assert contents(asset, at / "sub") == FILES


def test_a_lost_content_is_told(blobs: FileBlobs, tmp_path: Path) -> None:
    """G07: which file of which asset, why, and what to do; and nothing half-written is left."""
    asset = cf.asset(["a.txt", "c.txt"], name="texts")
    again = cf.Asset(asset.id, blobs)
    os.unlink(blobs.path_of(asset["a.txt"].blob))
    with pytest.raises(BlobMissing, match=rf"content of 'a\.txt' in <Asset texts.*\({asset.id}\) is lost .*run again"):
        asset.restore(at=tmp_path / "x")
    with pytest.raises(BlobMissing, match=r"content of 'a\.txt'"):
        asset.reference(FileBlobs(str(tmp_path / "other")))
    with open(blobs.path_of(asset["c.txt"].blob), "w") as file:
        file.write("damaged")
    with pytest.raises(BlobDamaged, match=r"content of 'c\.txt'.*wrong content"):
        asset["c.txt"].restore(at=tmp_path / "x")
    assert os.listdir(tmp_path / "x") == []
    os.unlink(blobs.path_of(asset.id))
    with pytest.raises(BlobMissing, match=rf"list of the files of asset {asset.id[:12]} is lost .*run again"):
        _ = again.entries
    assert repr(again) == f"<Asset {asset.id[:12]}, lost>"
    with pytest.raises(BlobDamaged, match="is no asset: it is no list"):
        _ = cf.Asset(blobs.write([b"A"]), blobs).entries


def test_a_file_that_changes_while_it_is_read_is_told(blobs: FileBlobs) -> None:
    """And nothing of it is stored."""
    with open("big", "wb") as file:
        file.truncate(asset_sources.PIECE * 3)
    opened = asset_sources.opened("big", follow=True)

    def pieces() -> Any:
        for piece in opened.pieces():
            yield piece
            with open("big", "ab") as file:
                file.write(b"more")

    with pytest.raises(RuntimeError, match="'big' changed while it was read"):
        blobs.write_pieces(pieces())
    opened.close()
    assert count(blobs) == 0


def test_big_files_go_in_and_out_in_pieces(blobs: FileBlobs, tmp_path: Path) -> None:
    content = os.urandom(asset_sources.PIECE * 2 + 5)
    Path("big").write_bytes(content)
    Path("none").touch()
    asset = cf.asset(["big", "none"])
    assert {path: file.read_bytes() for path, file in asset.restore(at=tmp_path / "x").items()} == {
        "big": content,
        "none": b"",
    }
    assert max(map(len, blobs.pieces(asset["big"].blob))) < len(content)
    assert blobs.write_pieces([content], sync=True) == asset["big"].blob
    assert blobs.write_pieces([], sync=True) == asset["none"].blob


# -- outside a run ----------------------------------------------------------------------------------------------------


def test_outside_a_run_assets_are_temporary(tmp_path: Path) -> None:
    """§1.5. A forked child does not take them along when it ends."""
    program = """
import os, coflux as cf
asset = cf.asset("a.txt")
if os.fork() == 0:
    raise SystemExit
os.wait()
print(asset.restore(at="out")["a.txt"].read_text(), len(os.listdir("tmp")))
"""
    write(tmp_path, {"a.txt": "A", "tmp/.keep": ""})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    command = [sys.executable, "-W", "error", "-c", program]
    out = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    assert out == "A 2\n"
    assert os.listdir(tmp_path / "tmp") == [".keep"]


def test_no_asset_is_made_by_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_importing", True)
    with pytest.raises(RuntimeError, match=r"asset\(\) at the top of a module that the engine imports"):
        cf.asset(__file__)
