"""Assets inside values: only references travel, whatever they lie in; people and scripts see what they are."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

import coflux as cf
from coflux import values
from coflux.encoded import BlobDamaged, Reference, json_of, preview_of
from coflux.executor import log_values
from coflux.executor.blobs import FileBlobs
from coflux.handles import Execution
from coflux.keys import key_of
from coflux.logs import render
from coflux.values import UnsendableValue, UnstoredValue


@dataclass
class Report:
    title: str
    plots: cf.Asset
    best: cf.AssetEntry


@pytest.fixture
def asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cf.Asset:
    """Made outside a run, so it is in a store of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "a.txt").write_text("A")
    (tmp_path / "d" / "b.txt").write_text("BB")
    return cf.asset(["a.txt", "d/b.txt"], name="plots")


def test_a_reference_travels(asset: cf.Asset, blobs: FileBlobs, tmp_path: Path) -> None:
    """D13: at any depth, also where it is a key, and beside the handle of an execution."""
    handle: Execution[int] = Execution("R1:2:1", module="app", target="load")
    value = {"report": [Report("r", asset, asset["d/b.txt"])], asset: handle}
    encoded = values.encode(value, blobs)
    assert set(encoded.references) == {Reference("asset", asset.id), Reference("execution", "R1:2:1", "app", "load")}
    decoded = values.decode(encoded, blobs)
    assert decoded == value
    report = decoded["report"][0]
    assert report.plots["a.txt"].restore(at=tmp_path / "x").read_text() == "A"
    assert report.best.restore(at=tmp_path / "x").read_text() == "BB"
    assert report.best.asset == asset


def test_the_files_go_where_the_value_goes(asset: cf.Asset, blobs: FileBlobs, tmp_path: Path) -> None:
    """An asset that was made outside a run arrives in one; in its own store nothing is copied."""
    values.pack([asset], blobs)
    assert all(map(blobs.exists, [asset.id, *[entry.blob for entry in asset.entries]]))
    arrived = cf.Asset(asset.id, blobs)
    assert {path: file.read_text() for path, file in arrived.restore(at=tmp_path / "x").items()} == {
        "a.txt": "A",
        "d/b.txt": "BB",
    }
    assert values.decode(values.pack(arrived["a.txt"], blobs), blobs) == asset["a.txt"]
    # Composed here, of files that are there.
    assert [entry.path for entry in cf.asset({"1": arrived, "2": "a.txt"}).entries] == ["1/a.txt", "1/d/b.txt", "2"]


def test_what_cannot_go_there_is_told(asset: cf.Asset, blobs: FileBlobs, tmp_path: Path) -> None:
    os.symlink("nowhere", tmp_path / "blobs")
    with pytest.raises(UnstoredValue, match=r"x \(<Asset plots: 2 files, 3 bytes>\) cannot be stored in .*/blobs"):
        values.encode(asset, blobs, name="x")
    with pytest.raises(UnsendableValue, match=r"x: the list of the files of asset 000000000000 is lost .*run again"):
        values.encode([cf.Asset("0" * 64, blobs)], blobs, name="x")


def test_people_and_scripts_see_what_it_is(asset: cf.Asset, blobs: FileBlobs) -> None:
    handle: Execution[int] = Execution("R1:2:1", module="app", target="load")
    encoded = values.encode([handle, asset, asset["a.txt"]], blobs)
    assert preview_of(encoded) == (
        "[<Execution R1:2:1 of app/load>, <Asset plots: 2 files, 3 bytes>, <AssetEntry 'a.txt', 1 byte>]"
    )
    projection = {"$asset": asset.id, "name": "plots", "files": 2, "size": 3}
    entry = {"$asset": asset.id, "path": "a.txt", "size": 1}
    assert json.loads(json_of(encoded) or "") == [{"$execution": "R1:2:1"}, projection, entry]
    shown, references = log_values.encode({"made": asset, "both": [asset, handle]})
    assert references == (Reference("execution", "R1:2:1", "app", "load"),)
    shown = log_values.with_ids(shown, ["R1:2:1"])
    assert log_values.decode(shown) == {"made": projection, "both": [projection, {"$execution": "R1:2:1"}]}
    assert render("{made}", log_values.texts(shown)).startswith("<Asset plots: 2 files, 3 bytes> both=[<Asset")


def test_an_asset_counts_by_its_content(asset: cf.Asset) -> None:
    """§5.1; an entry by its own, whatever it is an entry of."""
    same, other = cf.asset(["d/b.txt", "a.txt"], name="plots"), cf.asset("a.txt")
    assert key_of([asset]) == key_of([same])
    assert key_of([asset]) != key_of([other])
    assert key_of(asset["a.txt"]) == key_of(other["a.txt"])
    assert key_of(asset["a.txt"]) != key_of(asset["d/b.txt"])


@pytest.mark.parametrize(
    "file",
    [
        ("../a.txt", "0" * 64, 1, 0o644),
        ("/a.txt", "0" * 64, 1, 0o644),
        ("a//b", "0" * 64, 1, 0o644),
        ("a.txt", "../../../../../etc/passwd", 1, 0o644),
        ("a.txt", "0" * 63, 1, 0o644),
        ("a.txt", "0" * 64, 1, 0o6777),
        ("a.txt", "0" * 64, 1, -1),
        ("a.txt", "0" * 64, -1, 0o644),
    ],
)
def test_a_list_that_no_asset_has_made_is_refused(file: tuple[object, ...], blobs: FileBlobs) -> None:
    """Any bytes can be in a blob, and anybody can name it as an asset: nothing is read or written by its word."""
    forged = blobs.write([msgspec.msgpack.encode(("coflux asset 1", "forged", [file]))])
    with pytest.raises(BlobDamaged, match=r"is no asset"):
        cf.Asset(forged, blobs).restore()


def test_nothing_is_restored_if_something_is_in_the_way(asset: cf.Asset, tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / "d" / "b.txt").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="a directory is in its place"):
        asset.restore(at=place)
    assert not (place / "a.txt").exists()
