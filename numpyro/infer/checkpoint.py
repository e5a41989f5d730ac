# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Files that hold a run: arrays and what they mean, and nothing that is executed.

A file is an archive of NumPy (``.npz``, without compression): each array is a member of it, and the member ``header``
is a text in JSON with the version of the format, the nesting of dicts, lists and tuples in which the arrays stood, and
for each array its type, shape and SHA-256 sum. Nothing is pickled. A file is written beside its destination, brought to
the disk, and put in its place in one step, so that there is always either the old file or the new one.
"""

from __future__ import annotations

from collections import namedtuple
import hashlib
import importlib
import json
import os
from pathlib import Path
import sys
from typing import Any
import zipfile

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["CheckpointError", "digest", "read", "write"]

FORMAT, VERSION = "numpyro-mcmc", 1

_PIECE = 2**24


class CheckpointError(ValueError):
    """A file that is damaged, foreign or of another run."""


def write(path: str | os.PathLike[str], tree: Any) -> None:
    """Write a nesting of dicts, lists, tuples, named tuples, arrays, random keys and plain values to a file.

    :param path: where the file is to be; one that is there is replaced once the new one is complete.
    :raises TypeError: if there is something else in ``tree``.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "tree.npz")
    >>> write(path, {"draws": np.arange(3), "method": "vectorized"})
    >>> read(path)
    {'draws': array([0, 1, 2]), 'method': 'vectorized'}
    """
    path = Path(path)
    encoder = _Encoder()
    content = encoder.encode(tree)
    described = [
        {"dtype": array.dtype.name, "shape": array.shape, "sha256": _sum(array), "key": key}
        for array, key in zip(encoder.arrays, encoder.keys, strict=True)
    ]
    header = json.dumps({"format": FORMAT, "version": VERSION, "content": content, "arrays": described})
    members = {f"array_{i}": _plain(array) for i, array in enumerate(encoder.arrays)}
    members["header"] = np.frombuffer(header.encode(), np.uint8)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            np.savez(file, **members)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def read(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`write` has written.

    :raises CheckpointError: if the file is damaged, of another kind or of a newer version.
    :raises FileNotFoundError: if there is none.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty.")
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged, or no file that MCMC.save or a checkpoint has written: it is no archive of NumPy. "
            "Files are written in one step, so look for what cut or changed it since. Go back to another copy, or "
            "remove the file to begin anew."
        ) from error
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        raise CheckpointError(f"{path} holds a single array; it is no file that MCMC.save or a checkpoint has written.")
    with loaded as archive:
        header = _header(path, archive)
        try:
            arrays = [_array(archive, i, about) for i, about in enumerate(header["arrays"])]
            return _Decoder(arrays).decode(header["content"])
        except (
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            EOFError,
            OSError,
            AttributeError,
            zipfile.BadZipFile,
        ) as error:
            raise CheckpointError(
                f"{path} is damaged: {error}. Its content cannot be trusted; go back to another copy, or begin anew."
            ) from error


def _header(path: Path, archive: Any) -> dict[str, Any]:
    if "header" not in archive.files:
        raise CheckpointError(f"{path} is an archive of NumPy, but not one that MCMC.save or a checkpoint has written.")
    try:
        header = json.loads(bytes(archive["header"]).decode())
        kind, version = header["format"], header["version"]
    except (KeyError, TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged: its header cannot be read ({error}).") from error
    if kind != FORMAT:
        raise CheckpointError(f"{path} is of the kind {kind!r}; MCMC reads {FORMAT!r}.")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise CheckpointError(
            f"{path} has version {version!r} of the format; this numpyro reads versions up to {VERSION}. Read it with "
            "the numpyro that wrote it, or a later one."
        )
    return header


def _array(archive: Any, number: int, about: dict[str, Any]) -> Any:
    array = archive[f"array_{number}"].view(_dtype(about["dtype"])).reshape(about["shape"])
    if _sum(array) != about["sha256"]:
        raise ValueError(f"array {number} does not have the checksum that it was written with")
    return jax.random.wrap_key_data(array, impl=about["key"]) if about["key"] else array


def _dtype(name: str) -> np.dtype:
    dtype = jnp.dtype(name)
    if dtype.hasobject:
        raise TypeError(f"arrays of type {name} are not read")
    return dtype


def _plain(array: np.ndarray) -> np.ndarray:
    """An array of a type that NumPy's format knows."""
    if array.dtype.kind in "biufc":
        return array
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _sum(array: np.ndarray) -> str:
    """SHA-256 sum of an array, in pieces, so that no large array is copied."""
    total = hashlib.sha256()
    _update(total, array)
    return total.hexdigest()


def _update(total: Any, array: np.ndarray) -> None:
    if array.flags.c_contiguous or array.nbytes <= _PIECE:
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    else:
        for part in array:
            _update(total, part)


def _sync_directory(directory: Path) -> None:
    """Bring the new name to the disk, where the operating system can."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def digest(tree: Any) -> str:
    """A sum of all that a pytree of arrays and plain values holds; other values count by their types.

    >>> digest({"x": np.arange(3)}) == digest({"x": np.arange(3)}), digest(1.0) == digest(2.0)
    (True, False)
    """
    leaves, treedef = jax.tree.flatten(tree)
    total = hashlib.sha256(str(treedef).encode())
    for leaf in leaves:
        if isinstance(leaf, np.ndarray | np.generic | jax.Array):
            for part in _parts(leaf):
                array, key = _on_host(part)
                total.update(f"{array.dtype}{array.shape}{key}".encode())
                total.update(b"" if array.dtype.hasobject else _sum(array).encode())
        elif isinstance(leaf, bool | int | float | complex | str | bytes | None):
            total.update(repr(leaf).encode())
        else:
            total.update(type(leaf).__qualname__.encode())
    return total.hexdigest()


def _parts(array: Any) -> list[Any]:
    """What one device after the other holds of an array that is spread over several, as far as this process has it."""
    if not isinstance(array, jax.Array) or array.is_fully_replicated:
        return [array]
    return [shard.data for shard in array.addressable_shards]


def _on_host(array: Any) -> tuple[np.ndarray, str | None]:
    """An array of NumPy, and the name of the generator if it is a typed random key."""
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(array)), str(jax.random.key_impl(array))
    return np.asarray(array), None


class _Encoder:
    """Takes a tree apart into arrays and a description in JSON."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.keys: list[str | None] = []
        self._numbers: dict[int, int] = {}

    def encode(self, tree: Any) -> Any:
        if tree is None or (isinstance(tree, bool | int | float | str) and not isinstance(tree, np.number)):
            return tree
        if isinstance(tree, np.ndarray | np.generic | jax.Array):
            if id(tree) not in self._numbers:
                self._numbers[id(tree)] = len(self.arrays)
                array, key = _on_host(tree)
                if array.dtype.hasobject:
                    raise TypeError("arrays of Python objects cannot be saved")
                self.arrays.append(array)
                self.keys.append(key)
            return {"array": self._numbers[id(tree)]}
        if isinstance(tree, dict):
            return {"dict": [[self.encode(key), self.encode(value)] for key, value in tree.items()]}
        if isinstance(tree, tuple) and hasattr(tree, "_fields"):
            kind = type(tree)
            fields = [[name, self.encode(value)] for name, value in zip(tree._fields, tree, strict=True)]
            return {"named": [kind.__module__, kind.__qualname__], "fields": fields}
        if type(tree) in (list, tuple):
            return {type(tree).__name__: [self.encode(item) for item in tree]}
        raise TypeError(
            f"a {type(tree).__module__}.{type(tree).__qualname__} cannot be saved: states and draws may be made of "
            "arrays, dicts, lists, tuples and named tuples."
        )


class _Decoder:
    """Puts it together again."""

    def __init__(self, arrays: list[Any]) -> None:
        self._arrays = arrays

    def decode(self, content: Any) -> Any:
        if content is None or isinstance(content, bool | int | float | str):
            return content
        if "array" in content:
            return self._arrays[content["array"]]
        if "dict" in content:
            return {self.decode(key): self.decode(value) for key, value in content["dict"]}
        if "named" in content:
            names = [name for name, _ in content["fields"]]
            module, name = content["named"]
            kind = _named_tuple(module, name, tuple(names))
            return tuple.__new__(kind, [self.decode(value) for _, value in content["fields"]])
        if "list" in content:
            return [self.decode(item) for item in content["list"]]
        return tuple(self.decode(item) for item in content["tuple"])


def _named_tuple(module: str, name: str, fields: tuple[str, ...]) -> Any:
    """The named tuple that was saved, if this program has it, or else one that looks like it. Only this package is
    imported for that."""
    if module.partition(".")[0] == __name__.partition(".")[0]:
        try:
            importlib.import_module(module)
        except ImportError:
            pass
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, tuple) and getattr(found, "_fields", None) == fields:
        return found
    return namedtuple(name.rpartition(".")[2], fields)
