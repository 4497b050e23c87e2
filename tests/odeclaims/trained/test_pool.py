"""The pool of trained networks: trained, kept, published, read again, and never believed."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from joblib import parallel_config, register_parallel_backend
from safetensors.torch import load_file, save_file

from neural_ode import StepLimit
from odeclaims.record.files import CorruptFile, sha256
from odeclaims.record.provenance import commit
from odeclaims.trained import store, training, work
from odeclaims.trained.publish import find_standing, publish
from odeclaims.trained.recipes import find_recipes, find_specifications, recipe_of
from odeclaims.trained.specification import Specification
from tests.odeclaims.fork_server import Forking

TINY = {
    "channels": 2,
    "images": 16,
    "test_images": 10,
    "batch_size": 4,
    "epochs": 2,
    "evaluated": 2,
    "reference_steps": 4,
}


def tiny(net: str = "ode_net", seed: int = 0, **size) -> Specification:
    return Specification("table1", net, seed, {**TINY, **size})


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A results folder with one tiny network, trained and published."""
    out = tmp_path_factory.mktemp("results")
    work.train(tiny(), out)
    publish([tiny()], out)
    return out


@pytest.fixture
def published(trained, tmp_path) -> Path:
    """A copy of the published networks."""
    place = tmp_path / "trained" / tiny().name
    place.mkdir(parents=True)
    for path in (trained / "trained" / tiny().name).iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return tmp_path / "trained"


def test_names_and_digests_are_one_to_one():
    specifications = find_specifications().values()
    assert len({s.digest for s in specifications}) == len(specifications)
    assert all(s.name == name for name, s in find_specifications().items())
    seeds = [s.seed for s in specifications]
    assert seeds == sorted(seeds)


def test_every_recipe_builds_what_it_specifies():
    for recipe in find_recipes().values():
        first = recipe.specifications()[0]
        a, b = recipe.build(first), recipe.build(first)
        pairs = zip(a.parameters(), b.parameters(), strict=True)
        assert all(torch.equal(x, y) for x, y in pairs)


def test_nets_of_a_seed_see_the_same_data_and_have_their_own_weights():
    a, b, other = tiny("resnet"), tiny("ode_net"), tiny("ode_net", 1)
    states = [s.data_generator().get_state() for s in (a, b, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[1], states[2])
    assert not torch.equal(a.weights_generator().get_state(), b.weights_generator().get_state())


def test_a_published_network_is_the_trained_one(trained):
    network = store.read(trained / "trained", tiny())
    assert network.digest == sha256(
        (trained / "trained" / tiny().name / store.WEIGHTS).read_bytes()
    )
    assert list(network.history.query("kind == 'epoch'")["epoch"]) == [0, 1, 2]
    flows = network.history.query("kind == 'flow'")
    assert list(flows["role"]) == ["loose", "checked"] * 3
    assert network.record["test_error"] == network.history["test_error"].dropna().iloc[-1]
    # 16 images in batches of 4 for 2 epochs
    assert len(network.record["first_losses"]) == 8
    assert network.record["parameters"] == sum(p.numel() for p in network.model.parameters())
    assert find_standing(tiny(), trained).state == "published"
    assert not (trained / "cells" / "trained" / tiny().name / "checkpoint").exists()


def test_its_error_is_measured_again_from_its_weights(trained):
    from neural_ode.data import mnist
    from neural_ode.training import error_rate
    from odeclaims.kits.digits import first

    network = store.read(trained / "trained", tiny())
    test = first(mnist.load("test"), TINY["test_images"])
    assert error_rate(network.model, test) == network.record["test_error"]


def stop_in_the_second_epoch(specification: Specification, out: Path, monkeypatch) -> None:
    """Train, and stop at the second update after the first checkpoint."""
    save, count = work._Lines.add, 0

    def stop(self, line: str) -> None:
        nonlocal count
        save(self, line)
        count += " " in line
        if count == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(work._Lines, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            work.train(specification, out)


def spy_on_losses(monkeypatch) -> list[str]:
    """The losses that trainings write down from now on."""
    save, losses = work._Lines.add, []

    def add(self, line: str) -> None:
        save(self, line)
        if self.path.name == work.LOSSES:
            losses.append(line)

    monkeypatch.setattr(work._Lines, "add", add)
    return losses


@pytest.mark.slow(reason="a network is trained")
def test_a_training_that_was_stopped_ends_with_the_same_bits(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "code_state", lambda: {"commit": commit(), "clean_tree": False})
    stop_in_the_second_epoch(tiny(), tmp_path, monkeypatch)
    assert find_standing(tiny(), tmp_path).state == "in training"
    monkeypatch.setattr(work, "code_state", lambda: {"commit": commit(), "clean_tree": True})
    work.train(tiny(), tmp_path)
    again = store.read(tmp_path / "cells" / "trained", tiny())
    whole = store.read(trained / "trained", tiny())
    assert again.digest == whole.digest
    assert again.record["first_losses"] == whole.record["first_losses"]
    # It began with changes.
    assert again.record["clean_tree"] is False
    assert again.record["commits"] == [str(commit())]


@pytest.mark.parametrize("noted", [True, False])
def test_a_stopped_training_goes_on_as_what_it_was(tmp_path, monkeypatch, noted):
    specification, place = tiny("mlp"), tmp_path / "cells" / "trained" / tiny("mlp").name
    stop_in_the_second_epoch(specification, tmp_path, monkeypatch)
    if not noted:
        # As trainings were left before the specification was noted.
        (place / work.NOTE).unlink()
    losses = spy_on_losses(monkeypatch)
    work.train(specification, tmp_path)
    # Of 8 updates those of the second epoch.
    assert len(losses) == 4
    assert sorted(path.name for path in place.iterdir()) == sorted([".lock", *store.FILES])


def test_a_checkpoint_of_another_specification_is_set_aside(tmp_path, monkeypatch):
    before, now = tiny("mlp", evaluated=3), tiny("mlp")
    stop_in_the_second_epoch(before, tmp_path, monkeypatch)
    place = tmp_path / "cells" / "trained" / now.name
    kept = (place / work.CHECKPOINT).read_bytes()
    assert find_standing(now, tmp_path).state == "missing"
    losses = spy_on_losses(monkeypatch)
    with pytest.warns(
        UserWarning, match=r"another specification; .* checkpoint\.corrupt-1, .*anew"
    ):
        work.train(now, tmp_path)
    assert len(losses) == 8
    assert (place / "checkpoint.corrupt-1").read_bytes() == kept
    assert (place / "losses.txt.corrupt-1").exists()


def test_a_trained_network_of_another_size_is_set_aside(tmp_path):
    before, now = tiny("mlp", epochs=1), tiny("mlp")
    weights = (work.train(before, tmp_path) / store.WEIGHTS).read_bytes()
    with pytest.warns(UserWarning, match=r"set aside as weights\.safetensors\.corrupt-1, "):
        place = work.train(now, tmp_path)
    assert (place / f"{store.WEIGHTS}.corrupt-1").read_bytes() == weights
    assert find_standing(now, tmp_path).state == "trained"


@pytest.mark.slow(reason="a network is trained")
def test_a_replay_repeats_the_recorded_losses(trained):
    recorded = store.read_record(trained / "trained", tiny())["first_losses"]
    result = training.replay(tiny(), recorded)
    assert result.agrees
    assert result.difference < 1e-6
    assert "agree" in str(result)
    wrong = training.replay(tiny(), [recorded[0], 1.1 * recorded[1]])
    assert not wrong.agrees
    assert wrong.difference == pytest.approx(0.1 / 1.1)
    assert "do not agree" in str(wrong)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_replay_that_breaks_down_does_not_agree(broken):
    result = training.Replay("net", [2.30, 2.29, 2.25], [2.30, broken, broken])
    assert not result.agrees
    assert str(result) == (
        "net: the first 3 losses do not agree with the recorded ones; loss 2 is"
        f" {broken:g}, 2.29 is expected"
    )


@pytest.mark.parametrize(
    ("recorded", "repeated", "agrees", "says"),
    [
        ([2.3, 0.0], [2.3, 0.0], True, "the largest relative difference is 0,"),
        ([2.3, 0.0], [2.3, 0.1], False, "the largest relative difference is inf,"),
        ([2.3, 2.2, 2.1], [2.3, 2.2], False, "the training ended after 2 updates"),
    ],
)
def test_a_replay_of_odd_losses_has_an_answer(recorded, repeated, agrees, says):
    result = training.Replay("net", recorded, repeated)
    assert result.agrees is agrees
    assert says in str(result)


def test_a_replay_of_which_a_solve_fails_does_not_agree(monkeypatch):
    def train(specification, model, context, on_update):
        on_update(1, 2.3)
        raise StepLimit("too many steps", 0.5)

    recipe = replace(recipe_of(tiny("mlp")), train=train)
    monkeypatch.setattr(training, "recipe_of", lambda specification: recipe)
    result = training.replay(tiny("mlp"), [2.3, 2.2])
    assert not result.agrees
    assert str(result).endswith("after 1 updates, where a solve failed: too many steps")


def test_a_line_that_was_cut_short_is_left_out(tmp_path):
    lines = work._Lines(tmp_path / "losses.txt")
    for number in (1, 2):
        lines.add(f"{number} {number / 2}")
    text = lines.path.read_text()
    for left in range(len(text) + 1):
        lines.path.write_text(text[:left])
        lines.add("2 1.5")
        lines.add("3 2.5")
        found = work._losses(lines.read())
        assert (found[2], found[3]) == (1.5, 2.5)


def test_code_that_is_changed_after_the_command_began_trains_nothing(tmp_path):
    begun = replace(work.code_of(tiny("mlp")), digest="of another time")
    name, sentence = work._train_or_say(tiny("mlp"), tmp_path, begun)
    assert sentence == (
        f"{name} was not trained: the code of its recipe was changed after the command began; train"
        " again to go on"
    )
    assert not (tmp_path / "cells").exists()


@pytest.mark.slow(reason="a network is trained")
def test_a_network_names_the_commit_of_the_command_that_trained_it(tmp_path):
    """Another one may be checked out while it trains, which no longer reaches the process."""
    begun = replace(work.code_of(tiny("mlp")), commit="0" * 40, clean_tree=False)
    assert work._train_or_say(tiny("mlp"), tmp_path, begun)[1] == ""
    record = store.read(tmp_path / "cells" / "trained", tiny("mlp")).record
    assert (record["commits"], record["clean_tree"]) == (["0" * 40], False)


def test_a_missing_network_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no network table1-ode_net-0 .*odeclaims train"):
        store.read(tmp_path, tiny())


@pytest.mark.parametrize("name", [store.WEIGHTS, store.HISTORY])
def test_one_flipped_byte_is_named_and_set_aside(published, name):
    path = published / tiny().name / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=f"{name} is not the file that was published.*set aside"):
        store.read(published, tiny())
    assert not path.exists()
    assert bytes(content) in [p.read_bytes() for p in path.parent.glob(f"{name}.corrupt-*")]


def forge(published: Path, weights: dict[str, torch.Tensor]) -> None:
    """Put other weights in place, with a record that fits them."""
    place = published / tiny().name
    save_file(weights, place / store.WEIGHTS)
    sign(published, weights_sha256=sha256((place / store.WEIGHTS).read_bytes()))


def sign(published: Path, **changed) -> None:
    path = published / tiny().name / store.RECORD
    record = json.loads(path.read_text()) | changed
    path.write_text(json.dumps(record | {"sha256": store._content(record)}))


def test_weights_of_another_architecture_are_named(published):
    weights = load_file(published / tiny().name / store.WEIGHTS)
    forge(published, weights | {"stem.0.weight": torch.zeros(3, 1, 3, 3)})
    with pytest.raises(CorruptFile, match=r"another architecture: stem.0.weight has the shape \(3"):
        store.read(published, tiny())


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"{}" * 10])
def test_what_is_no_safetensors_file_is_one_sentence(published, content):
    place = published / tiny().name
    (place / store.WEIGHTS).write_bytes(content)
    sign(published, weights_sha256=sha256(content))
    with pytest.raises(CorruptFile, match="set aside"):
        store.read(published, tiny())


@pytest.mark.parametrize("content", ["{}", "[3]", "no json", '{"name": 3}'])
def test_a_record_that_is_none_is_one_sentence(published, content):
    path = published / tiny().name / store.RECORD
    path.write_text(content)
    with pytest.raises(CorruptFile, match="set aside"):
        store.read(published, tiny())
    assert not path.exists()


def test_a_changed_record_is_noticed(published):
    path = published / tiny().name / store.RECORD
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"core_hours": 0.0 if record["core_hours"] else 1.0}))
    with pytest.raises(CorruptFile, match="not the one that was written"):
        store.read_record(published, tiny())


def test_a_network_of_another_size_is_not_taken_and_stays(published):
    path = published / tiny().name / store.RECORD
    with pytest.raises(store.OtherSpecification, match="epochs 2, now 3"):
        store.read(published, tiny(epochs=3))
    assert path.exists()
    assert find_standing(tiny(epochs=3), published.parent).state == "trained otherwise"


def test_a_network_that_is_trained_anew_is_trained(tmp_path):
    before, now = tiny("mlp", epochs=1), tiny("mlp")
    work.train(before, tmp_path)
    publish([before], tmp_path)
    with pytest.warns(UserWarning, match="another specification"):
        work.train(now, tmp_path)
    assert find_standing(now, tmp_path).state == "trained"
    assert find_standing(before, tmp_path).state == "published"
    with pytest.raises(ValueError, match=r"published already: remove .* to replace it"):
        publish([now], tmp_path)


def test_a_file_without_a_recipe_or_with_anothers_name_is_named(monkeypatch):
    from odeclaims.trained import recipes

    monkeypatch.setattr(recipes.pkgutil, "iter_modules", lambda path: [SimpleNamespace(name="x")])
    for module, said in (
        (SimpleNamespace(), "x.py of recipes defines no RECIPE"),
        (SimpleNamespace(RECIPE=recipe_of(tiny())), "is named 'table1', expected 'x'"),
    ):
        monkeypatch.setattr(recipes.importlib, "import_module", lambda name, m=module: m)
        with pytest.raises(ValueError, match=said):
            recipes.find_recipes.__wrapped__()


def test_a_recipe_that_tells_of_no_update_is_named(tmp_path, monkeypatch):
    silent = replace(recipe_of(tiny()), train=lambda *arguments: [])
    monkeypatch.setattr(work, "recipe_of", lambda specification: silent)
    with pytest.raises(ValueError, match="the recipe table1 called on_update after no update"):
        work.train(tiny(), tmp_path)


def test_what_is_published_is_not_replaced(trained):
    with pytest.raises(ValueError, match="published already"):
        publish([tiny()], trained)


def test_a_network_whose_record_was_set_aside_is_published_again(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    place = tmp_path / "trained" / tiny().name
    (place / store.RECORD).write_text("no json")
    with pytest.raises(CorruptFile, match="set aside"):
        find_standing(tiny(), tmp_path)
    assert find_standing(tiny(), tmp_path).state == "trained"
    weights = (place / store.WEIGHTS).read_bytes()
    (place / store.WEIGHTS).write_bytes(b"of another training")
    with pytest.raises(ValueError, match=r"safetensors is of another training .*move it away, and"):
        publish([tiny()], tmp_path)
    assert (place / store.WEIGHTS).read_bytes() == b"of another training"
    (place / store.WEIGHTS).write_bytes(weights)
    assert publish([tiny()], tmp_path) == [place]
    assert store.read(tmp_path / "trained", tiny()).digest == sha256(weights)
    assert (place / f"{store.RECORD}.corrupt-1").read_text() == "no json"


def test_what_is_not_trained_is_not_published(tmp_path):
    with pytest.raises(FileNotFoundError, match="no network"):
        publish([tiny()], tmp_path)


def test_published_files_stay_small(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("odeclaims.trained.publish.MOST_BYTES", 100)
    training_folder = tmp_path / "cells" / "trained" / tiny().name
    training_folder.mkdir(parents=True)
    for path in (trained / "trained" / tiny().name).iterdir():
        (training_folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="at most"):
        publish([tiny()], tmp_path)
    assert not (tmp_path / "trained" / tiny().name).exists()


def test_two_processes_do_not_train_one_network(tmp_path):
    from filelock import FileLock

    place = tmp_path / "cells" / "trained" / tiny().name
    place.mkdir(parents=True)
    with (
        FileLock(place / ".lock"),
        pytest.raises(ValueError, match="another process trains table1-ode_net-0"),
    ):
        work.train(tiny(), tmp_path)


def test_networks_are_trained_side_by_side(tmp_path):
    chosen = [tiny("mlp", epochs=1), tiny("mlp", 1, epochs=1)]
    # Workers that joblib starts would each import torch.
    register_parallel_backend("forking", Forking)
    with parallel_config("forking"):
        assert sorted(work.train_all(chosen, tmp_path, 2)) == [(s.name, "") for s in chosen]
    assert {find_standing(s, tmp_path).state for s in chosen} == {"trained"}


def test_the_committed_networks_are_whole():
    folder = store.published_folder()
    for specification in find_specifications().values():
        if (folder / specification.name).exists():
            assert store.read(folder, specification).model is not None
    assert recipe_of(tiny()) is find_recipes()["table1"]


def test_a_specification_names_its_size():
    assert tiny().digest != replace(tiny(), size={**TINY, "epochs": 3}).digest


@pytest.mark.parametrize("net", ["spheres_anode", "crossing_node"])
def test_a_toy_is_trained_and_repeated(net, tmp_path):
    size = {**find_specifications()[f"toys-{net}-0"].size}
    small = {**size, "points": 32, "test_points": 30, "batch_size": 16, "epochs": 4}
    specification = Specification("toys", net, 0, small)
    work.train(specification, tmp_path)
    network = store.read(tmp_path / "cells" / "trained", specification)
    assert list(network.history["epoch"]) == [1, 2, 3, 4]
    assert network.record["core_hours"] >= 0
    assert 0 <= network.record["test_error"] <= 1
    assert len(network.record["first_losses"]) == 3
    assert training.replay(specification, network.record["first_losses"]).difference < 1e-6


def test_the_cheapest_published_network_trains_as_it_did():
    """Later commits do not make a network stale; that they train alike is tried on this one."""
    specification = find_specifications()["table1-mlp-0"]
    record = store.read_record(store.published_folder(), specification)
    assert len(record["first_losses"]) == training.FIRST_UPDATES
    result = training.replay(specification, record["first_losses"])
    assert result.agrees, str(result)
