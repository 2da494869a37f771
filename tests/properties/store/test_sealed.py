"""A sealed folder: comes back as it was written, or is damaged; there is no third."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CheckpointDamagedError
from service.store.canonical import plain, seal, sha256
from service.store.sealed import FILES, MANIFEST, read_manifest, read_sealed, remove_sealed, write_sealed
from tests.properties.effort import examples
from tests.properties.store.json_values import objects, values

names = st.sampled_from(["a", "model.safetensors", "encoder.json", "grün", "a b", "manifest.json.old"])
contents = st.dictionaries(names, st.binary(max_size=40), max_size=4)
manifests = objects.filter(lambda values: FILES not in values)


@contextmanager
def sealed(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a sealed folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "sealed"
        write_sealed(folder, files, manifest)
        yield folder


@examples(60)
@given(contents, manifests)
def test_what_was_sealed_comes_back(files: dict[str, bytes], manifest: dict[str, Any]) -> None:
    """Every byte and every value, and nothing lies beside it; removed, nothing is left."""
    with sealed(files, manifest) as folder:
        assert read_sealed(folder) == (plain(manifest), files)
        assert read_manifest(folder) == plain(manifest)
        assert [entry.name for entry in folder.parent.iterdir()] == ["sealed"]
        remove_sealed(folder)
        assert list(folder.parent.iterdir()) == []


def flip(path: Path, data: st.DataObject) -> None:
    """Change one byte."""
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)


def cut(path: Path, data: st.DataObject) -> None:
    """Leave out the end."""
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])


def extend(path: Path, data: st.DataObject) -> None:
    """Add to the end."""
    path.write_bytes(path.read_bytes() + data.draw(st.binary(min_size=1, max_size=9)))


def lose(path: Path, _: st.DataObject) -> None:
    """Remove the file."""
    path.unlink()


def replace(path: Path, _: st.DataObject) -> None:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()


def stray(path: Path, data: st.DataObject) -> None:
    """Put another file beside it."""
    (path.parent / data.draw(st.sampled_from(["extra", ".hidden", "z", "manifest.json~"]))).touch()


def swap(path: Path, data: st.DataObject) -> None:
    """Put other content of the same size in its place."""
    size = path.stat().st_size
    old = path.read_bytes()
    path.write_bytes(data.draw(st.binary(min_size=size, max_size=size).filter(lambda other: other != old)))


Damage = Callable[[Path, st.DataObject], None]


@examples(150)
@given(contents, manifests, st.sampled_from([flip, cut, extend, lose, replace, stray, swap]), st.data())
def test_any_damage_is_found(
    files: dict[str, bytes], manifest: dict[str, Any], damage: Damage, data: st.DataObject
) -> None:
    """As CheckpointDamagedError, never as another error; and repaired, the folder is whole again."""
    with sealed(files, manifest) as folder:
        copy = folder.with_name("copy")
        shutil.copytree(folder, copy)
        paths = sorted(path for path in folder.iterdir() if path.stat().st_size)
        damage(data.draw(st.sampled_from(paths)), data)
        with pytest.raises(CheckpointDamagedError, match="damaged"):
            read_sealed(folder)
        assert read_sealed(copy) == (plain(manifest), files)


@examples(150)
@given(contents, st.one_of(values, st.dictionaries(st.one_of(names, st.text(max_size=3)), values)))
def test_a_well_sealed_list_of_files_that_is_none_is_damaged(files: dict[str, bytes], listed: Any) -> None:
    """Unless it vouches for exactly these files, whatever the values in it are."""
    right = {name: {"size": len(data), "sha256": sha256(data)} for name, data in files.items()}
    with sealed(files, {}) as folder:
        (folder / MANIFEST).write_bytes(seal({FILES: listed}))
        if listed == right:
            assert read_sealed(folder) == ({}, files)
            return
        with pytest.raises(CheckpointDamagedError, match="damaged"):
            read_sealed(folder)
