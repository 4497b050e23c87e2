"""The MNIST handwritten digits, bundled with the package and checked on every read.

Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86(11), 1998. Licence: CC BY-SA 3.0 (`mnist/LICENSE.md`).
"""

import gzip
import hashlib
import math
import os
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from neural_ode.arguments import check_choice, check_count, describe

_FOLDER = Path(__file__).parent / "mnist"
_UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class _IdxFile:
    """What one gzipped IDX file must hold."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """The magic number (type and rank), then each dimension, as big-endian 32-bit integers."""
        magic = _UNSIGNED_BYTE << 8 | len(self.shape)
        return np.array([magic, *self.shape], dtype=">u4").tobytes()


_FILES = {
    "train": (
        _IdxFile(
            "train-images-idx3-ubyte.gz",
            (60_000, 28, 28),
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        _IdxFile(
            "train-labels-idx1-ubyte.gz",
            (60_000,),
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    "test": (
        _IdxFile(
            "t10k-images-idx3-ubyte.gz",
            (10_000, 28, 28),
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        _IdxFile(
            "t10k-labels-idx1-ubyte.gz",
            (10_000,),
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
}

DIGEST = hashlib.sha256(
    "".join(file.sha256 for files in _FILES.values() for file in files).encode()
).hexdigest()[:16]
"""One short digest of the whole data set, for provenance: SHA-256 over the SHA-256s (in hex, train
before test, images before labels) of the four decompressed files, its first 16 hex digits."""


@dataclass(frozen=True, eq=False)
class MNIST:
    """One split of MNIST, in the order of the published files.

    Attributes:
        images: grey values, 0 (background) to 255 (ink), uint8, shape [n, 28, 28].
        labels: the digit that each image shows, 0 to 9, int64, shape [n].

    Raises:
        TypeError, ValueError: for anything else.
    """

    images: UInt8[Tensor, "n 28 28"]
    labels: Int64[Tensor, "n"]

    def __post_init__(self) -> None:
        for name, dtype, ndim in (("images", torch.uint8, 3), ("labels", torch.int64, 1)):
            value = getattr(self, name)
            if not isinstance(value, Tensor) or value.dtype is not dtype:
                given = value.dtype if isinstance(value, Tensor) else describe(value)
                raise TypeError(f"{name} is {given}, expected a tensor of {dtype}")
            if value.ndim != ndim or len(value) != len(self.images):
                raise ValueError(
                    f"{name} has the shape {tuple(value.shape)}, expected [n, 28, 28] for images"
                    " and [n] for labels"
                )


def load(split: Literal["train", "test"], *, folder: Path | str | None = None) -> MNIST:
    """Read one split of MNIST and check it byte for byte.

    Args:
        split: "train" (n = 60,000) or "test" (n = 10,000).
        folder: where the four gzipped IDX files are; by default, those that the package bundles.

    Returns:
        Images, uint8 [n, 28, 28], and labels, int64 [n], on the CPU.

    Raises:
        ValueError: the split is unknown, or a file is truncated or is not the published one.
        TypeError: the folder is not a path.
        FileNotFoundError: a file, or the folder, is missing.
        OSError: a file cannot be read.
    """
    check_choice("split", split, _FILES)
    if folder is None:
        # Whoever gets them may change them.
        images, labels = (_read_bundled(file).clone() for file in _FILES[split])
        return MNIST(images, labels.long())
    if not isinstance(folder, Path | str):
        raise TypeError(f"folder is {describe(folder)}, expected a path")
    # Not the method of a path, which raises where the name is too long.
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"folder is {describe(str(folder))}, which is not a folder: expected one that holds"
            " the four gzipped MNIST files"
        )
    images, labels = (_read(Path(folder), file) for file in _FILES[split])
    return MNIST(images, labels.long())


def spread(data: MNIST, count: int) -> MNIST:
    """So many digits, evenly spaced over a split, whose halves differ in difficulty.

    Args:
        data: a split, n images.
        count: how many to take, from 1 to n.

    Raises:
        ValueError: for fewer than one or more than n.
        TypeError: for data that is not a split, or a count that is not a whole number.
    """
    if not isinstance(data, MNIST):
        raise TypeError(f"data is {describe(data)}, expected an MNIST")
    check_count("count", count)
    if count > len(data.images):
        raise ValueError(f"count is {count}, expected at most {len(data.images)}, the split's size")
    every = len(data.images) // count
    return MNIST(data.images[::every][:count], data.labels[::every][:count])


def normalised(images: UInt8[Tensor, "n 28 28"]) -> Float32[Tensor, "n 1 28 28"]:
    """Turn grey values into the input of a convolutional network.

    As in torchdiffeq's MNIST example, values are scaled to [0, 1] and neither centred nor divided
    by their standard deviation.

    Args:
        images: grey values, uint8, shape [n, 28, 28], on any device.

    Returns:
        `images / 255`, float32, shape [n, 1, 28, 28], on the same device.

    Raises:
        ValueError: for images of another shape.
        TypeError: for anything but a tensor of unsigned bytes, such as images scaled already.
    """
    if not isinstance(images, Tensor) or images.dtype is not torch.uint8:
        given = images.dtype if isinstance(images, Tensor) else describe(images)
        raise TypeError(f"images is {given}, expected a tensor of grey values, torch.uint8")
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"images has the shape {tuple(images.shape)}, expected [n, 28, 28]")
    return images.unsqueeze(1).to(torch.float32) / 255


@cache
def _read_bundled(file: _IdxFile) -> UInt8[Tensor, "*shape"]:
    """One of the bundled files, which a process reads once: the images take 0.3 s."""
    return _read(_FOLDER, file)


def _read(folder: Path, file: _IdxFile) -> UInt8[Tensor, "*shape"]:
    content = _decompress(folder / file.name)
    start = len(file.header)
    size = start + math.prod(file.shape)
    if len(content) != size:
        raise ValueError(
            f"MNIST file {file.name} in {folder} holds {len(content)} decompressed bytes: "
            f"expected {size}"
        )
    if content[:start] != file.header:
        raise ValueError(
            f"MNIST file {file.name} in {folder} starts with the IDX header "
            f"{content[:start].hex()}: expected {file.header.hex()}, unsigned bytes of shape "
            f"{list(file.shape)}"
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ValueError(
            f"MNIST file {file.name} in {folder} holds other bytes than the published file: "
            f"its SHA-256 is {digest}, expected {file.sha256}"
        )
    return torch.frombuffer(content, dtype=torch.uint8, offset=start).reshape(file.shape)


def _decompress(path: Path) -> bytearray:
    """Read a gzipped file into memory that a tensor may own, hence not into immutable bytes."""
    try:
        return bytearray(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"MNIST file {path.name} is missing: expected it in {path.parent}"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"MNIST file {path.name} in {path.parent} cannot be decompressed "
            f"({error}): expected a complete gzip file"
        ) from error
    except OSError as error:
        raise OSError(
            f"MNIST file {path.name} in {path.parent} cannot be read ({error.strerror}): expected a"
            " readable file"
        ) from None
