import gzip
import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from neural_ode.data import mnist

BUNDLED = Path(mnist.__file__).parent / "mnist"
IMAGES = "t10k-images-idx3-ubyte.gz"
LABELS = "t10k-labels-idx1-ubyte.gz"

SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte.gz": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# Published number of images of each digit, 0 to 9.
COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.fixture
def folder(tmp_path):
    """A copy of the test split, to be broken."""
    for name in (IMAGES, LABELS):
        shutil.copy(BUNDLED / name, tmp_path / name)
    return tmp_path


def rewrite(path, change):
    """Replace a gzipped file's content by `change(content)`."""
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes())), compresslevel=1))


def message_of(error, folder):
    """The message of the one-sentence error that loading a broken copy must raise."""
    with pytest.raises(error) as caught:
        mnist.load("test", folder=folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message
    return message


def test_what_one_reader_changes_another_does_not_see():
    first = mnist.load("test")
    first.images.zero_()
    first.labels.zero_()
    again = mnist.load("test")
    assert again.images.any()
    assert again.labels.any()


@pytest.mark.parametrize(("name", "sha256"), SHA256.items())
def test_bundled_bytes_are_the_published_ones(name, sha256):
    content = gzip.decompress((BUNDLED / name).read_bytes())
    assert hashlib.sha256(content).hexdigest() == sha256


def test_digest_of_the_data_set_follows_from_the_files():
    joined = "".join(SHA256.values())
    assert hashlib.sha256(joined.encode()).hexdigest().startswith(mnist.DIGEST)
    assert len(mnist.DIGEST) == 16


@pytest.mark.parametrize("split", ["train", "test"])
def test_shapes_types_and_label_counts(split):
    data = mnist.load(split)
    n = sum(COUNTS[split])
    assert data.images.shape == (n, 28, 28)
    assert data.images.dtype == torch.uint8
    assert data.labels.shape == (n,)
    assert data.labels.dtype == torch.int64
    assert data.labels.bincount().tolist() == COUNTS[split]


def test_images_stand_upright_beside_their_labels():
    """The first test image is the well-known seven: a bar at the top, a stem to its lower left."""
    data = mnist.load("test")
    ink = data.images[0] > 128
    assert data.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert ink.any(dim=1).nonzero().flatten()[[0, -1]].tolist() == [7, 26]
    assert ink[8].sum() > 3 * ink[20].sum()


def test_loaded_tensors_are_the_callers_own():
    first = mnist.load("test")
    first.images.zero_()
    assert mnist.load("test").images.any()


def test_normalised_scales_to_the_unit_interval_and_adds_a_channel():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1).expand(3, 28, 28)
    scaled = mnist.normalised(images)
    assert scaled.shape == (3, 1, 28, 28)
    assert scaled.dtype == torch.float32
    torch.testing.assert_close(scaled[:, 0, 5, 7], torch.tensor([0.0, 0.2, 1.0]))


@pytest.mark.usefixtures("unchecked")
def test_unknown_split():
    with pytest.raises(ValueError, match=r"split is 'validation', expected 'train' or 'test'"):
        mnist.load("validation")  # pyright: ignore[reportArgumentType]  # the error is the test


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_missing_file(folder, name):
    (folder / name).unlink()
    message = message_of(FileNotFoundError, folder)
    assert f"{name} is missing" in message
    assert str(folder) in message


@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_truncated_gzip(folder, name, kept):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(kept * len(content))])
    message = message_of(ValueError, folder)
    assert name in message


def test_damaged_gzip(folder):
    content = bytearray((folder / IMAGES).read_bytes())
    content[5000:5100] = bytes(100)
    (folder / IMAGES).write_bytes(content)
    message = message_of(ValueError, folder)
    assert f"{IMAGES} in {folder} cannot be decompressed" in message


def test_no_gzip_at_all(folder):
    (folder / LABELS).write_text("<html>404 Not Found</html>")
    message = message_of(ValueError, folder)
    assert f"{LABELS} in {folder} cannot be decompressed" in message


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_one_wrong_byte(folder, name):
    rewrite(folder / name, lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    message = message_of(ValueError, folder)
    assert f"{name} in {folder} holds other bytes" in message
    assert SHA256[name] in message


def test_wrong_header(folder):
    rewrite(folder / LABELS, lambda content: bytes.fromhex("00000d01") + content[4:])
    message = message_of(ValueError, folder)
    assert f"{LABELS} in {folder} starts with the IDX header 00000d01" in message


def test_images_in_place_of_labels(folder):
    shutil.copy(BUNDLED / IMAGES, folder / LABELS)
    message = message_of(ValueError, folder)
    assert f"{LABELS} in {folder} holds 7840016 decompressed bytes" in message


def test_content_cut_short(folder):
    rewrite(folder / LABELS, lambda content: content[:-100])
    message = message_of(ValueError, folder)
    assert f"{LABELS} in {folder} holds 9908 decompressed bytes: expected 10008" in message


def test_spread_takes_digits_evenly():
    labels = torch.arange(20) % 10
    images = labels.to(torch.uint8)[:, None, None].expand(20, 28, 28)
    data = mnist.MNIST(images, labels)
    assert mnist.spread(data, 4).labels.tolist() == [0, 5, 0, 5]
    assert mnist.spread(data, 20).images.equal(data.images)
    assert len(mnist.spread(data, 7).images) == 7
