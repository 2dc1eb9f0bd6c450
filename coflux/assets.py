"""Files that an execution keeps, addressed by their content.

What an asset consists of is in the store: a blob for each file's content, and one with the list of the files
(`coflux.asset_manifest`), whose digest is the asset's id. An `Asset` is a reference to that list: it can be an
argument, a result, or lie anywhere inside one, and then only the reference travels. So does an `AssetEntry`, with its
asset.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from coflux import backend
from coflux.redaction import THIS_PROCESS

if TYPE_CHECKING:
    from pathlib import Path

    from coflux.asset_manifest import Manifest, StoredFile
    from coflux.backend import Backend
    from coflux.encoded import Reference
    from coflux.restoring import Destination
    from coflux.values import BlobStore

__all__ = ["SHOWN_ID", "Asset", "AssetEntry", "AssetMetadata", "asset"]

FilePath = str | PathLike[str]

SHOWN_ID = 12  # characters of an asset's id that are shown to people


class AssetMetadata(NamedTuple):
    """What an asset is called (`None`: nothing), how many files it has, and how many bytes these have together."""

    name: str | None
    total_count: int
    total_size: int


class Asset:
    """A collection of files that was made with `asset`. `asset[path]` is an entry, `path in asset` asks for one.

    Assets of the same name and with the same files, contents and permissions are equal, and have the same id.

    Attributes:
        id: 64 hexadecimal digits.
    """

    __slots__ = ("__weakref__", "_blobs", "_by_path", "_manifest", "id")

    def __init__(self, id: str, blobs: BlobStore, manifest: Manifest | None = None) -> None:  # noqa: A002
        """For the engine: `blobs` is the store that it is in, `manifest` the list of its files, if it is known."""
        self.id = id
        self._blobs = blobs
        self._manifest = manifest
        self._by_path: dict[str, AssetEntry] | None = None

    @property
    def metadata(self) -> AssetMetadata:
        """Its name, number of files, and size in bytes. Raises as `entries`."""
        manifest = self._files()
        return AssetMetadata(manifest.name, len(manifest.files), manifest.size)

    @property
    def entries(self) -> list[AssetEntry]:
        """Its files, in the order of their paths. The list of them is read from the store once.

        Raises `BlobMissing` or `BlobDamaged` (of `coflux.values`) when the store has lost it.
        """
        return list(self._entries().values())

    def restore(self, match: str | None = None, at: FilePath | None = None) -> dict[str, Path]:
        """Write the files below a directory, and return where each is, by its path in the asset.

        Files that are there already are replaced. Nothing is written outside the directory: links in it are neither
        followed nor replaced.

        Args:
            match: only files whose path matches: `*` within a directory, `**` across directories, `{a,b}`.
            at: the directory, which is made if need be; default: the current one.

        Raises:
            BlobMissing, BlobDamaged: the store has lost a content; the message says which, and what to do.
            FileExistsError: something that is no file is in the way.
            OSError: a file cannot be written.
        """
        from coflux.restoring import Destination

        chosen = self._entries()
        if match is not None:
            from coflux.globs import matching

            chosen = {path: chosen[path] for path in matching(chosen, match)}
        with Destination(_directory("restore", at)) as destination:
            for path in chosen:  # before anything is written
                destination.check(path, replace=True)
            return {path: entry.write(destination) for path, entry in chosen.items()}

    def reference(self, blobs: BlobStore) -> Reference:
        """For the engine: what represents it in a value that is encoded into `blobs`, where it is put if need be.

        Raises `BlobMissing` or `BlobDamaged` when its own store has lost something, and `OSError`.
        """
        from coflux.encoded import Reference

        if not blobs.exists(self.id):  # it is written last: where it is, the contents are too
            for entry in self._entries().values():
                entry.bring_into(blobs)
            blobs.write_pieces(self._blobs.pieces(self.id), sync=True)
        return Reference("asset", self.id)

    def projection(self) -> dict[str, Any]:
        """For the engine: what stands for it in JSON."""
        name, files, size = self.metadata
        return {"$asset": self.id, "name": name, "files": files, "size": size}

    def _files(self) -> Manifest:
        if self._manifest is None:
            from coflux import asset_manifest
            from coflux.encoded import BlobDamaged, BlobMissing

            try:
                data = b"".join(self._blobs.pieces(self.id))
            except (BlobMissing, BlobDamaged) as error:
                raise type(error)(
                    f"the list of the files of asset {self.id[:SHOWN_ID]} is lost ({error}): run again what made it"
                ) from None
            try:
                self._manifest = asset_manifest.decode(data)
            except ValueError as error:
                raise BlobDamaged(f"{self.id} is no asset: {error}") from None
        return self._manifest

    def _entries(self) -> dict[str, AssetEntry]:
        if self._by_path is None:
            self._by_path = {
                file.path: AssetEntry(self, file.path, file.size, file.blob, file.mode) for file in self._files().files
            }
        return self._by_path

    def __getitem__(self, path: str) -> AssetEntry:
        return self._entries()[path]

    def __contains__(self, path: object) -> bool:
        return path in self._entries()

    __iter__ = None  # or `for` would try the paths 0, 1, …

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Asset) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        from coflux.encoded import BlobDamaged, BlobMissing
        from coflux.previews import byte_size, one_line

        shown = self.id[:SHOWN_ID]
        try:
            name, files, size = self.metadata
        except (BlobMissing, BlobDamaged):
            return f"<Asset {shown}, lost>"
        return f"<Asset {one_line(name or shown)}: {files:,} {'file' if files == 1 else 'files'}, {byte_size(size)}>"

    def __copy__(self) -> Asset:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Asset:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle {self!r}: pass it as an argument or return it, coflux sends it as a reference;"
            " elsewhere restore its files"
        )


class AssetEntry:
    """A file of an asset. Entries with the same path, content and permissions are equal.

    Attributes:
        asset: the asset that it is of.
        path: its path within the asset, with `/`.
        size: its size in bytes.
        blob: the digest of its content, for `coflux blobs get`.
        mode: its permission bits.
    """

    __slots__ = ("asset", "blob", "mode", "path", "size")

    def __init__(self, asset: Asset, path: str, size: int, blob: str, mode: int) -> None:
        """For the engine."""
        self.asset = asset
        self.path = path
        self.size = size
        self.blob = blob
        self.mode = mode

    @property
    def type(self) -> str | None:
        """The MIME type that the extension of its path stands for, `None` for an unknown one."""
        import mimetypes

        return mimetypes.guess_type(self.path)[0]

    def restore(self, at: FilePath | None = None) -> Path:
        """Write the file, at its path below the directory `at` (default: the current one), and return where it is.

        Raises as `Asset.restore`.
        """
        from coflux.restoring import Destination

        with Destination(_directory("restore", at)) as destination:
            return self.write(destination)

    def write(self, destination: Destination, *, replace: bool = True) -> Path:
        """For the engine: as `restore`. Without `replace`, a file that is there already is an error."""
        from pathlib import Path

        path = destination.write(self.path, self.pieces(), self.mode, replace=replace)
        engine = backend.current()
        if engine is not None:
            engine.file_stored(os.lstat(path))
        return Path(path)

    def bring_into(self, blobs: BlobStore) -> None:
        """For the engine: see to it that its content is in a store. In its own it is not copied."""
        if not blobs.exists(self.blob):
            blobs.write_pieces(self.pieces(), sync=True)

    def projection(self) -> dict[str, Any]:
        """For the engine: what stands for it in JSON."""
        return {"$asset": self.asset.id, "path": self.path, "size": self.size}

    def pieces(self) -> Iterator[bytes]:
        """For the engine: its content, in pieces. Raises `BlobMissing`, or in the end `BlobDamaged`."""
        from coflux.encoded import BlobDamaged, BlobMissing

        try:
            yield from self.asset._blobs.pieces(self.blob)
        except (BlobMissing, BlobDamaged) as error:
            raise type(error)(
                f"the content of {self.path!r} in {self.asset!r} ({self.asset.id}) is lost ({error}): run again what"
                " made it"
            ) from None

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, AssetEntry) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str, int]:
        return self.path, self.blob, self.mode

    def __repr__(self) -> str:
        from coflux.previews import byte_size

        return f"<AssetEntry {self.path!r}, {byte_size(self.size)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return AssetEntry, (self.asset, self.path, self.size, self.blob, self.mode)


# -- making assets ----------------------------------------------------------------------------------------------------


class _Named(NamedTuple):
    """A file on disk. A link that was named by the user is followed, one that was found is not."""

    file: str
    follow: bool


_Sources = dict[str, _Named | AssetEntry]
"""What an asset is made of, by the path in it."""


def asset(
    entries: FilePath | Iterable[FilePath] | Asset | Mapping[str, FilePath | Asset | AssetEntry] | None = None,
    *,
    at: FilePath | None = None,
    match: str | None = None,
    name: str | None = None,
) -> Asset:
    """Keep files, so that they can be looked at, downloaded, and used by other executions.

    Paths and permissions are kept, and files whose names begin with a dot are no exception. Links are kept as the files
    that they lead to; those that were not named, but found in a directory, only if they lead to files in there (of
    others the log says so). What is in an asset already is not copied.

    Outside a run, files are kept as long as the process lives, or until the asset is passed to a run.

    Args:
        entries: what to keep.
            None: all files below `at`.
            A path, or a list of them: these files, at their paths from `at`; of a file elsewhere, only the name counts.
            An asset: its files.
            A dict: from the path in the new asset to a file, to an entry of an asset, or to an asset, whose files are
            put below that path.
        at: the directory that files are below; default: the current one, which in an execution is its own.
        match: only files whose path in the new asset matches: `*` within a directory, `**` across directories, `{a,b}`.
        name: what to call the asset.

    Raises:
        FileNotFoundError: a file is not there. The error is a `ValueError`, too.
        ValueError: there is nothing to keep; something named is a directory, or no file; two files would be in one
            place; a path leads out of the asset, or is not UTF-8.
        RuntimeError: a file was changed while it was read; or a module does this while the engine imports it.
        OSError: a file cannot be read, or the store cannot be written.
    """
    from coflux import asset_manifest

    _check_name(name)
    name = None if name is None else THIS_PROCESS.text(name)  # it is a text for people, as those of groups are
    sources, left_out = _sources(entries, at)
    if match is not None:
        from coflux.globs import matching

        sources = {path: sources[path] for path in matching(sources, match)}
        left_out = matching(left_out, match)
    if left_out:
        _tell_left_out(left_out)
    if not sources:
        raise ValueError(_nothing(entries, at, match))
    asset_manifest.check_tree(sources)
    engine = backend.current()
    blobs = _temporary_blobs() if engine is None else engine.blobs()
    files = [_stored(path, source, engine, blobs) for path, source in sources.items()]
    manifest = asset_manifest.new_manifest(name, files)
    made = Asset(blobs.write([asset_manifest.encode(manifest)]), blobs, manifest)
    if engine is not None:
        read = {file.blob for file in files if isinstance(sources[file.path], _Named)}
        engine.keep_asset(made.id, name, len(files), manifest.size, (*read, made.id))
    return made


def _check_name(name: object) -> None:
    if name is None:
        return
    if not isinstance(name, str):
        raise TypeError(f"the name of an asset must be a str, not {name!r}")
    if not name:
        raise ValueError("the name of an asset must not be empty")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name of an asset must be UTF-8, but is {name!r}") from None


def _sources(entries: Any, at: FilePath | None) -> tuple[_Sources, list[str]]:
    """What is to be kept, and the paths of what was found but cannot be."""
    from coflux.asset_manifest import checked_path

    if isinstance(entries, (Asset, Mapping)) and at is not None:
        raise ValueError(f"at={at!r} has no meaning with {'an asset' if isinstance(entries, Asset) else 'a dict'}")
    if entries is None:
        from coflux.asset_sources import files_below

        tree = files_below(_directory("asset", at))
        return {checked_path(path): _Named(file, False) for path, file in tree.files.items()}, tree.left_out
    if isinstance(entries, Asset):
        return dict(entries._entries()), []
    sources: _Sources = {}
    named = _placed(entries) if isinstance(entries, Mapping) else _listed(entries, at)
    for place, source in named:
        path = checked_path(place)
        if path in sources:
            raise ValueError(f"two files would be {path!r} in the asset: give them paths, asset({{path: file, …}})")
        sources[path] = source
    return sources, []


def _placed(entries: Mapping[Any, Any]) -> Iterator[tuple[str, _Named | AssetEntry]]:
    """What a dict says: where it puts what."""
    for key, value in entries.items():
        path = _file_path(key)
        if isinstance(value, Asset):
            for entry in value._entries().values():
                yield f"{path}/{entry.path}", entry
        elif isinstance(value, AssetEntry):
            yield path, value
        else:
            yield path, _Named(_file_path(value), True)


def _listed(entries: Any, at: FilePath | None) -> Iterator[tuple[str, _Named]]:
    """The files that were named, with their paths."""
    from coflux.asset_sources import path_within

    directory = _directory("asset", at)
    one = isinstance(entries, (str, PathLike)) or not isinstance(entries, Iterable)
    for entry in [entries] if one else entries:
        # As it was written, where that will do: errors name it.
        file = _file_path(entry) if at is None else os.path.join(directory, _file_path(entry))
        yield path_within(file, directory), _Named(file, True)


def _file_path(value: object) -> str:
    path = os.fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(path, str):
        raise TypeError(
            "asset() takes a path, a list of paths, an asset, or a dict from paths to paths, assets or entries of"
            f" assets, not {value!r}"
        )
    if not path:
        raise ValueError("asset() was given an empty path")
    return path


def _directory(function: str, at: object) -> str:
    if at is None:
        return os.getcwd()
    path = os.fspath(at) if isinstance(at, (str, PathLike)) else None
    if not isinstance(path, str):
        raise TypeError(f"at of {function}() must be the path of a directory, not {at!r}")
    return path or os.curdir


def _tell_left_out(paths: list[str]) -> None:
    from coflux.logs import log_warning

    log_warning(
        "left out of an asset, since it is a link to a directory, leads elsewhere or nowhere, or is no file: {paths}",
        paths=paths,
    )


def _nothing(entries: object, at: FilePath | None, match: str | None) -> str:
    place = f"below {_directory('asset', at)!r}" if entries is None else "among what it was given"
    return f"there is nothing for asset() to keep: no file {place}{'' if match is None else f' matches {match!r}'}"


def _stored(path: str, source: _Named | AssetEntry, engine: Backend | None, blobs: BlobStore) -> StoredFile:
    from coflux.asset_manifest import StoredFile

    if isinstance(source, AssetEntry):
        source.bring_into(blobs)
        return StoredFile(path, source.blob, source.size, source.mode)
    from coflux.asset_sources import opened

    file = opened(source.file, follow=source.follow)
    try:
        digest = blobs.write_pieces(file.pieces())
        if engine is not None:
            engine.file_stored(file.status)
        return StoredFile(path, digest, file.size, file.mode)
    finally:
        file.close()


# -- outside a run ----------------------------------------------------------------------------------------------------

_temporary: BlobStore | None = None


def _temporary_blobs() -> BlobStore:
    """A store that ends with this process."""
    global _temporary
    if backend.importing():
        raise RuntimeError(
            "asset() at the top of a module that the engine imports: nothing would keep it. Make it in a function"
        )
    if _temporary is None:
        import atexit
        import tempfile
        from importlib import import_module

        directory = tempfile.mkdtemp(prefix="coflux-assets-")
        atexit.register(_remove, directory, os.getpid())
        # By name, since the engine knows this module and not the other way round.
        _temporary = import_module("coflux.executor.blobs").FileBlobs(directory)
    return _temporary


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child has the handler, too
        import shutil

        shutil.rmtree(directory, ignore_errors=True)
