"""params.yaml: what is refused, and that every message names the key, the value and what was expected."""

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Literal

import pytest
import yaml

from earshot.audit.config import AuditParams
from earshot.clips.config import DatasetParams
from earshot.clips.split import SplitParams
from earshot.clips.turns import CrossvalParams
from earshot.core.errors import EarshotError
from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError, as_dict, build, load, load_seed, mapping
from earshot.deployment.config import GateParams, QuantizationParams
from earshot.evaluation.config import EvaluationParams
from earshot.training.config import AugmentParams, TrainParams

COMMITTED = Path(__file__).parent.parent / "params.yaml"
SECTIONS = {
    "dataset": DatasetParams,
    "audit": AuditParams,
    "audio": FrontEndParams,
    "split": SplitParams,
    "crossval": CrossvalParams,
    "train": TrainParams,
    "evaluation": EvaluationParams,
    "quantization": QuantizationParams,
    "gate": GateParams,
}


@dataclass(frozen=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True)
class Outer:
    needed: str
    count: int = 3
    share: float = 0.5
    on: bool = False
    limit: float | None = None
    kind: Literal["a", "b"] = "a"
    folds: Literal["auto"] | tuple[int, ...] = "auto"
    weights: dict[str, float] | None = None
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must not be negative, not {self.count}")


def made(**values: object) -> Outer:
    return build(Outer, {"needed": "x", **values}, where="params.yaml: outer")


def test_absent_keys_take_their_defaults_and_given_ones_their_values():
    assert made() == Outer("x")
    value = made(count=4, on=True, limit=2.5, kind="b", folds=[3, 1], weights={"siren": 2}, inner={"depth": 7})
    assert value == Outer("x", 4, 0.5, True, 2.5, "b", (3, 1), {"siren": 2.0}, Inner(7))


def test_an_integer_is_a_number_and_null_is_null():
    assert isinstance(made(share=1).share, float)
    assert made(limit=None).limit is None
    assert isinstance(made(limit=2).limit, float)
    assert isinstance(made(weights={"siren": 2}).weights["siren"], float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 3}, r"outer: unknown key 'cuont'; known keys are count, folds, .*weights"),
        ({"inner": {"deep": 3}}, r"outer\.inner: unknown key 'deep'; known keys are depth"),
        ({"count": "3"}, r"outer\.count must be of type int, not '3'"),
        ({"count": 3.0}, r"outer\.count must be of type int, not 3\.0"),
        ({"count": True}, r"outer\.count must be of type int, not True"),
        ({"share": True}, r"outer\.share must be of type float, not True"),
        ({"share": "half"}, r"outer\.share must be of type float, not 'half'"),
        ({"share": None}, r"outer\.share must be of type float, not None"),
        ({"on": 1}, r"outer\.on must be of type bool, not 1"),
        ({"on": "yes"}, r"outer\.on must be of type bool, not 'yes'"),
        ({"limit": "none"}, r"outer\.limit must be of type float or null, not 'none'"),
        ({"kind": "c"}, r"outer\.kind must be one of a, b, not 'c'"),
        ({"folds": 3}, r"outer\.folds must be auto or a list, not 3"),
        ({"folds": [1, "2"]}, r"outer\.folds\[1\] must be of type int, not '2'"),
        ({"weights": {"siren": "loud"}}, r"outer\.weights\.siren must be of type float, not 'loud'"),
        ({"inner": 3}, r"outer\.inner must be a mapping, not 3"),
        ({"count": -1}, r"outer: count must not be negative, not -1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values, message):
    with pytest.raises(ParamsError, match=message):
        made(**values)


def test_a_key_without_a_default_must_be_there():
    with pytest.raises(ParamsError, match=r"outer: .*needed"):
        build(Outer, {}, where="outer")


def test_an_error_is_one_for_the_user():
    assert issubclass(ParamsError, EarshotError)
    assert issubclass(ParamsError, ValueError)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian:\n  epochs: 3\n", r"unknown section 'trian'; known sections are seed, dataset, .*train"),
        ("train: 3\n", r"section 'train' must be a mapping, not 3"),
        ("- train\n", r"must be a mapping of sections"),
        ("train: {epochs: 3\n", r"is not valid YAML"),
        ("train:\n  epochs: three\n", r"train\.epochs must be of type int or null, not 'three'"),
        ("train:\n  augment:\n    mixup: 1\n", r"train\.augment: unknown key 'mixup'"),
        ("train:\n  epochs: 0\n", r"train\.epochs must be positive, not 0"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ParamsError, match=message):
        load("train", TrainParams, written(tmp_path, text))


@pytest.mark.parametrize(("text", "value"), [("3e-3", 3e-3), ("1E2", 100.0), ("1.5e-2", 0.015), ("2", 2.0)])
def test_numbers_are_written_as_people_write_them(tmp_path, text, value):
    path = written(tmp_path, f"train: {{learning_rate: {text}}}\n")
    assert load("train", TrainParams, path).learning_rate == value


def test_a_file_that_is_not_there_says_where_to_run(tmp_path):
    with pytest.raises(ParamsError, match="project's root"):
        load("train", TrainParams, tmp_path / "params.yaml")


def test_an_absent_section_is_all_defaults(tmp_path):
    path = written(tmp_path, "seed: 3\n")
    assert load("train", TrainParams, path) == TrainParams()
    assert mapping("audio", path) == {}


@pytest.mark.parametrize("seed", ["-1", "1.5", "true", "seven", "null"])
def test_a_seed_is_a_number_from_0_on(tmp_path, seed):
    with pytest.raises(ParamsError, match="seed must be a non-negative integer"):
        load_seed(written(tmp_path, f"seed: {seed}\n"))
    assert load_seed(written(tmp_path, "seed: 0\n")) == 0


@pytest.mark.parametrize("section", SECTIONS)
def test_the_committed_file_shows_every_key_with_its_default(section):
    shown = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))[section]
    params = load(section, SECTIONS[section], COMMITTED)
    assert set(shown) == {field.name for field in fields(SECTIONS[section])}
    for key, value in shown.items():
        if is_dataclass(getattr(params, key)):
            assert set(value) == set(as_dict(getattr(params, key)))
    assert params == SECTIONS[section]()


def test_every_network_has_its_recipe():
    tutorial = TrainParams(model="tutorial").resolved(1000)
    assert (tutorial.epochs, tutorial.batch_size, tutorial.learning_rate, tutorial.dropout) == (15, 16, 1e-3, 0.3)
    assert (tutorial.weight_decay, tutorial.label_smoothing) == (0, 0)
    given = TrainParams(model="tutorial", epochs=2, dropout=0.0).resolved(1000)
    assert (given.epochs, given.dropout, given.batch_size) == (2, 0, 16)
    assert TrainParams().resolved(1000).epochs > 15
    sb_cnn = TrainParams(model="sb_cnn").resolved(1000)
    # As published: 50 epochs of an eighth of all patches, in batches of 100 at a constant 0.01.
    assert (sb_cnn.epochs, sb_cnn.batch_size, sb_cnn.learning_rate, sb_cnn.dropout) == (50, 100, 0.01, 0.5)
    assert sb_cnn.epoch_steps(1000) == round(1000 * 46 / 8 / 100)


def test_a_network_that_there_is_not_is_refused_with_the_nearest(tmp_path):
    (tmp_path / "params.yaml").write_text("train: {model: compcat}")
    with pytest.raises(ParamsError, match=r"train\.model 'compcat' is no network; did you mean compact\? There are"):
        load("train", TrainParams, tmp_path / "params.yaml")


def test_few_clips_are_heard_more_often():
    assert TrainParams().resolved(10_000).epochs == TrainParams().resolved(1000).epochs == 60
    assert TrainParams().resolved(40).epochs == 600  # one step an epoch
    assert TrainParams().resolved(320).epochs == 120
    assert TrainParams(batch_size=32).resolved(320).epochs == 60
    assert TrainParams(epochs=3).resolved(40).epochs == 3
    assert TrainParams(model="tutorial").resolved(40).epochs == 15


@pytest.mark.parametrize("values", [{"mixup_probability": 1.1}, {"crop_until": -0.1}, {"masks": -1}, {"gain_db": -3.0}])
def test_augmentation_outside_its_range_is_refused(values):
    name = next(iter(values))
    with pytest.raises(ParamsError, match=rf"train\.augment\.{name} must"):
        AugmentParams(**values)
