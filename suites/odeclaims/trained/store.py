"""Published networks: weights without code, their history, and a record that says what made them.

A network lies in a folder of its name: ``weights.safetensors``, ``history.csv`` and
``network.json``. Whatever cannot be trusted is named and set aside.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from odeclaims.cell import Row
from odeclaims.record.files import (
    CorruptFile,
    describe_set_aside,
    sha256,
    write_bytes,
    write_json,
    write_text,
)
from odeclaims.record.older_pandas import EXACTLY
from odeclaims.record.provenance import source_tree
from odeclaims.record.published import installed_record
from odeclaims.record.schema import check_network, read_network
from odeclaims.trained.recipes import recipe_of
from odeclaims.trained.specification import Specification

WEIGHTS, HISTORY, RECORD = FILES = ("weights.safetensors", "history.csv", "network.json")


def published_folder() -> Path:
    """Where the networks of this project are published."""
    checkout = source_tree() / "results"
    record = checkout if checkout.is_dir() else installed_record() or checkout
    return record / "trained"


class OtherSpecification(ValueError):
    """A published network of that name was trained by another specification than today's."""


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network.

    Attributes:
        specification: what it is.
        weights: its parameters by their names.
        history: a row for each epoch, and what else the recipe looked at.
        record: what made it: commit, versions, machine, time, error and the first losses.
    """

    specification: Specification
    weights: Mapping[str, Tensor]
    history: pd.DataFrame
    record: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The SHA-256 digest of the weights."""
        return self.record["weights_sha256"]

    @cached_property
    def model(self) -> nn.Module:
        """The network with its weights.

        Raises:
            CorruptFile: where the weights are those of another architecture.
        """
        model = recipe_of(self.specification).build(self.specification)
        expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        given = {name: tuple(value.shape) for name, value in self.weights.items()}
        for name in sorted(expected | given):
            if expected.get(name) != given.get(name):
                raise CorruptFile(
                    f"the weights of {self.specification.name} are those of another architecture:"
                    f" {name} has the shape {given.get(name)}, expected {expected.get(name)}"
                )
        model.load_state_dict(dict(self.weights))
        return model


def write(
    folder: Path,
    specification: Specification,
    model: nn.Module,
    history: list[Row],
    made: Mapping[str, Any],
) -> Path:
    """Write a trained network below ``folder``; the record comes last, so a kill leaves none.

    Args:
        folder: holds the folders of the networks.
        specification: what it is.
        model: the network.
        history: the rows of its training.
        made: the rest of the record.

    Returns:
        The network's folder.
    """
    place = folder / specification.name
    weights = save({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()})
    table = pd.DataFrame(history).to_csv(index=False, lineterminator="\n")
    record = {
        "name": specification.name,
        "recipe": specification.recipe,
        "net": specification.net,
        "seed": specification.seed,
        "size": dict(specification.size),
        "specification": specification.digest,
        "parameters": sum(p.numel() for p in model.parameters()),
        **made,
        "weights_sha256": sha256(weights),
        "history_sha256": sha256(table),
    }
    record["sha256"] = _content(record)
    check_network(record, place / RECORD)
    write_bytes(place / WEIGHTS, weights)
    write_text(place / HISTORY, table)
    write_json(place / RECORD, record)
    return place


def read_record(folder: Path, specification: Specification) -> dict[str, Any]:
    """The record of a published network.

    Raises:
        FileNotFoundError: where there is none; the message says how to get one.
        CorruptFile: where it is not what was written; it is set aside.
        OtherSpecification: where it is that of a network of other sizes, which stays as it is.
    """
    path = folder / specification.name / RECORD
    if not path.exists():
        raise FileNotFoundError(
            f"there is no network {specification.name} in {folder}: get it with the repository or"
            f" the package odeclaims-results, or train it with `odeclaims train"
            f" {specification.name}` and `odeclaims publish`"
        )
    try:
        record = read_network(path)
        if record["sha256"] != _content(record):
            raise CorruptFile(f"{path}: the content is not the one that was written")
    except CorruptFile as error:
        raise CorruptFile(f"{error}; {describe_set_aside(path)}") from None
    if record["specification"] != specification.digest:
        sizes = [(name, record["size"].get(name), now) for name, now in specification.size.items()]
        other = [f"{name} {then}, now {now}" for name, then, now in sizes if then != now]
        raise OtherSpecification(
            f"{path} is of a network that was trained otherwise"
            f" ({', '.join(other) or 'another recipe'}): give the recipe another name, or remove"
            f" {path.parent} and train it again"
        )
    return record


def read(folder: Path, specification: Specification) -> Network:
    """A published network; nothing is unpickled.

    Raises:
        FileNotFoundError: where there is none, or a file of it is missing.
        CorruptFile: where a file is not what was written; it is set aside.
        OtherSpecification: where it was trained by another specification.
    """
    record = read_record(folder, specification)
    place = folder / specification.name
    content = {
        name: _read_checked(place / name, record[f"{what}_sha256"])
        for what, name in (("weights", WEIGHTS), ("history", HISTORY))
    }
    try:
        weights = load(content[WEIGHTS])
        network = Network(specification, weights, _table(place / HISTORY), record)
        network.model  # noqa: B018
    except (SafetensorError, CorruptFile) as error:
        path = place / WEIGHTS
        raise CorruptFile(f"{path}: {error}; {describe_set_aside(path)}") from None
    return network


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, **EXACTLY)


def _read_checked(path: Path, digest: str) -> bytes:
    """The bytes of a file, if its digest is the recorded one."""
    content = path.read_bytes()
    if sha256(content) != digest:
        raise CorruptFile(
            f"{path} is not the file that was published: its SHA-256 digest is"
            f" {sha256(content)[:12]}..., expected {digest[:12]}...; {describe_set_aside(path)}"
        )
    return content


def _content(record: Mapping[str, Any]) -> str:
    """The digest of what a record says beside it."""
    rest = {name: value for name, value in record.items() if name != "sha256"}
    return sha256(json.dumps(rest, sort_keys=True))
