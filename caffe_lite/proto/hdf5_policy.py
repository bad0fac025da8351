"""What may be read from HDF5 files that somebody else made.

A link, an external file or a virtual dataset could name any file of this machine, and a filter is
a program that HDF5 looks for and loads: they are refused.  So are values that are no numbers,
and more of them than the file can hold.
"""

from __future__ import annotations

import math
from typing import Any

from caffe_lite.limits import check_memory

MOST_GROUPS = 100_000  # a group may be in itself: this ends the walk
DEEPEST = 64

_FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # HDF5's own, and LZF, which h5py brings
_GREATEST_RATIO = 1032  # of what deflate unpacks to what it packed
_ALWAYS_ALLOWED = 64 << 20  # bytes of a dataset that is not stored, but filled with one value


class InvalidFileError(Exception):
    """A file's defect; `hdf5_files.opened` adds its name and raises the caller's exception."""


def is_group(item: Any) -> bool:
    """Whether this is a group, not a dataset."""
    return hasattr(item, "keys")


def names_in(group: Any) -> list[str]:
    """The names in a group, after checking that none of them is a link."""
    names = list(group)
    for name in names:
        _refuse_link(group, name)
    return names


def _refuse_link(group: Any, name: str) -> None:
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise InvalidFileError(f"{_path(group, name)} is a link; links are not followed")


def _path(group: Any, name: str) -> str:
    return f"{(group.name or '').rstrip('/')}/{name}"


def array_in(group: Any, name: str, text: bool = False) -> Any:
    """The numbers of a dataset, which must be stored in this file; with `text`, also bytes."""
    dataset = dataset_in(group, name)
    check_dataset(dataset, text)
    return dataset[()]


def dataset_in(group: Any, name: str) -> Any:
    """The dataset of this name.  A name with slashes is a path, no part of it a link."""
    import h5py

    item = group
    for part in filter(None, name.split("/")):
        if not is_group(item) or part not in item:
            raise InvalidFileError(f"{_path(group, name)} is missing")
        _refuse_link(item, part)
        item = item[part]
    if is_group(item):
        raise InvalidFileError(f"{_path(group, name)} is a group, not a dataset")
    if not isinstance(item, h5py.Dataset):
        raise InvalidFileError(f"{_path(group, name)} is not a dataset")
    return item


def check_dataset(dataset: Any, text: bool = False) -> None:
    """Refuse a dataset whose values are elsewhere, of another kind, or too many to be there."""
    if dataset.external or dataset.is_virtual:
        raise InvalidFileError(
            f"{dataset.name} stores its values in another file, which is not read"
        )
    settings = dataset.id.get_create_plist()
    filters = {settings.get_filter(index)[0] for index in range(settings.get_nfilters())}
    if filters - _FILTERS:
        raise InvalidFileError(
            f"{dataset.name} is packed by filter {min(filters - _FILTERS)}, not one of HDF5's own"
        )
    if dataset.shape is None:
        raise InvalidFileError(f"{dataset.name} has no values")
    if dataset.dtype.kind not in ("fiubS" if text else "fiub") or dataset.dtype.subdtype:
        raise InvalidFileError(f"{dataset.name} is not numeric, but {dataset.dtype}")
    _check_bytes(dataset)


def _check_bytes(dataset: Any) -> None:
    """Ask for the memory of the values, and compare them with what is stored."""
    size = dataset.dtype.itemsize
    needed = math.prod(dataset.shape) * size
    largest = max(needed, math.prod(dataset.chunks or ()) * size)
    stored = dataset.id.get_storage_size()
    if largest > max(_ALWAYS_ALLOWED, _GREATEST_RATIO * stored):
        raise InvalidFileError(
            f"{dataset.name}, of shape {dataset.shape}, would take {largest / 1e9:.3g} GB, but "
            f"the file has {stored} bytes of it"
        )
    check_memory(largest, f"{dataset.name}, of shape {dataset.shape},")
