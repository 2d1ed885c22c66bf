"""params.yaml: what is refused, and that every message names the key, the value and what was expected."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

import jsonschema_rs
import pytest
from pydantic import Field, ValidationError, model_validator

from earshot.clips.config import DatasetParams
from earshot.commands.params_file import SCHEMA, ParamsFile, schema
from earshot.core.errors import EarshotError
from earshot.core.params import SECTIONS, Params, ParamsError, build, load, load_seed, mapping, read
from earshot.core.params_words import OLD_KEYS
from earshot.training.config import TrainParams

ROOT = Path(__file__).parent.parent
COMMITTED = ROOT / "params.yaml"


class Inner(Params):
    depth: int = 1


class Outer(Params):
    needed: str
    count: int = Field(3, ge=0, le=9)
    share: float = Field(0.5, gt=0, lt=1)
    on: bool = False
    limit: float | None = None
    kind: Literal["a", "b"] = "a"
    folds: Literal["auto"] | Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = "auto"
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.limit is not None and self.limit < self.share:
            raise ValueError(f"limit {self.limit:g} must be at least share, {self.share:g}")
        return self


def made(**values: object) -> Outer:
    return filled(values)


def filled(values: dict) -> Outer:
    return build(Outer, {"needed": "x", **values}, "outer", "my.yaml")


def test_absent_keys_take_their_defaults_and_given_ones_their_values():
    assert made() == Outer(needed="x")
    value = made(count=4, on=True, limit=2.5, kind="b", folds=[3, 1], inner={"depth": 7})
    assert value == Outer(needed="x", count=4, on=True, limit=2.5, kind="b", folds=(3, 1), inner=Inner(depth=7))


def test_an_integer_is_a_number_and_null_is_null():
    assert isinstance(made(limit=2).limit, float)
    assert made(limit=None).limit is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 3}, "my.yaml: outer: unknown key 'cuont' (did you mean 'count'?); known keys are needed, count, "),
        ({"inner": {"deep": 3}}, "my.yaml: outer.inner: unknown key 'deep' (did you mean 'depth'?); known keys are "),
        ({"zzz": 3}, "my.yaml: outer: unknown key 'zzz'; known keys are needed, "),
        ({7: 3}, "my.yaml: outer: unknown key '7'; known keys are needed, "),
        ({"count": "3"}, "my.yaml: outer.count must be a whole number of at least 0 and at most 9, not '3'"),
        ({"count": 3.0}, "my.yaml: outer.count must be a whole number of at least 0 and at most 9, not 3.0"),
        ({"count": True}, "my.yaml: outer.count must be a whole number of at least 0 and at most 9, not true"),
        ({"count": 10}, "my.yaml: outer.count must be a whole number of at least 0 and at most 9, not 10"),
        ({"share": True}, "my.yaml: outer.share must be a number above 0 and below 1, not true"),
        ({"share": "half"}, "my.yaml: outer.share must be a number above 0 and below 1, not 'half'"),
        ({"share": None}, "my.yaml: outer.share must be a number above 0 and below 1, not null"),
        ({"share": float("nan")}, "my.yaml: outer.share must be a number above 0 and below 1, not nan"),
        ({"on": 1}, "my.yaml: outer.on must be true or false, not 1"),
        ({"on": "yes"}, "my.yaml: outer.on must be true or false, not 'yes'"),
        ({"needed": 3}, "my.yaml: outer.needed must be a text, not 3"),
        ({"limit": "none"}, "my.yaml: outer.limit must be a number, or null, not 'none'"),
        ({"limit": float("inf")}, "my.yaml: outer.limit must be a number, or null, not inf"),
        ({"kind": "c"}, "my.yaml: outer.kind must be one of a, b, not 'c'"),
        ({"folds": 3}, "my.yaml: outer.folds must be auto, or a list of 1 or more whole numbers, not 3"),
        ({"folds": []}, "my.yaml: outer.folds must be auto, or a list of 1 or more whole numbers, not []"),
        ({"folds": [1, "2"]}, "my.yaml: outer.folds[1] must be a whole number, not '2'"),
        ({"folds": [1, True]}, "my.yaml: outer.folds[1] must be a whole number, not true"),
        ({"inner": 3}, "my.yaml: outer.inner must be a mapping, not 3"),
        ({"limit": 0.25}, "my.yaml: outer: limit 0.25 must be at least share, 0.5"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values, message):
    with pytest.raises(ParamsError, match=rf"^{re.escape(message)}") as caught:
        filled(values)
    assert "pydantic" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": [{"name": "esc50"}]}, "dataset.sources[0].path is missing; it must be a text"),
        ({"sources": [3]}, "dataset.sources[0] must be a mapping, not 3"),
        ({"classes": {"dog": ["dog", 3]}}, "dataset.classes.dog[1] must be a text, not 3"),
        ({"classes": {1: ["dog"]}}, "the key of dataset.classes.1 must be a text: put it in quotes"),
        ({"classes": "all"}, "dataset.classes must be a mapping, not 'all'"),
    ],
)
def test_what_is_wrong_inside_lists_and_mappings_is_named(values, message):
    with pytest.raises(ParamsError, match=rf"^{re.escape(message)}$"):
        build(DatasetParams, values, "dataset")


def test_all_that_does_not_fit_is_named_at_once():
    with pytest.raises(ParamsError) as caught:
        made(on="no", folds=["x"], cuont=3)
    assert re.findall(r"my\.yaml: outer\S*", str(caught.value)) == [
        "my.yaml: outer.on",
        "my.yaml: outer.folds[0]",
        "my.yaml: outer:",
    ]


def test_a_long_value_is_cut():
    with pytest.raises(ParamsError, match=r"not 'x{40,79} \.\.\.$"):
        made(kind="x" * 1000)


def test_a_key_without_a_default_must_be_there():
    with pytest.raises(ParamsError, match=r"^outer\.needed is missing; it must be a text$"):
        build(Outer, {}, "outer")


@pytest.mark.parametrize("old", OLD_KEYS)
def test_a_key_of_an_earlier_version_is_refused_with_its_name_now(old):
    section, key = old.split(".")
    message = rf"^params\.yaml: '{re.escape(old)}' is called '{re.escape(OLD_KEYS[old])}' now: rename it$"
    with pytest.raises(ParamsError, match=message):
        build(ParamsFile, {section: {key: "never"}}, source="params.yaml")
    now_section, now_key = OLD_KEYS[old].split(".")
    assert now_key in schema()["$defs"][ParamsFile.model_fields[now_section].annotation.__name__]["properties"]


def test_parameters_do_not_change_and_a_changed_copy_is_checked():
    params = made(count=4)
    with pytest.raises(ValidationError, match="frozen"):
        params.count = 5  # type: ignore[misc]
    assert params.changed(count=5, inner=Inner(depth=2)) == made(count=5, inner={"depth": 2})
    assert params.count == 4
    with pytest.raises(ParamsError, match=r"^count must be .* not 99$"):
        params.changed(count=99)


def test_stored_parameters_are_plain_json():
    stored = made(folds=[1, 2], limit=3).as_dict()
    assert stored == {
        "needed": "x",
        "count": 3,
        "share": 0.5,
        "on": False,
        "limit": 3.0,
        "kind": "a",
        "folds": [1, 2],
        "inner": {"depth": 1},
    }
    assert build(Outer, json.loads(json.dumps(stored))) == made(folds=[1, 2], limit=3)


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
        (
            "trian:\n  epochs: 3\n",
            r"unknown section 'trian' \(did you mean 'train'\?\); known sections are seed,",
        ),
        ("train: 3\n", r"section 'train' must be a mapping, not 3"),
        ("- train\n", r"must be a mapping of sections"),
        ("train: {epochs: 3\n", r"is not valid YAML"),
        ("train:\n  epochs: three\n", r"train\.epochs must be a whole number of at least 1, or null, not 'three'"),
        ("train:\n  augment:\n    mixup: 1\n", r"train\.augment: unknown key 'mixup'"),
        ("train:\n  epochs: 0\n", r"train\.epochs must be .* at least 1, or null, not 0"),
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
    with pytest.raises(ParamsError, match="seed must be a whole number of at least 0"):
        load_seed(written(tmp_path, f"seed: {seed}\n"))
    assert load_seed(written(tmp_path, "seed: 0\n")) == 0


def test_the_committed_file_shows_every_key_with_its_default():
    document = read(COMMITTED)
    assert build(ParamsFile, document) == ParamsFile()
    assert json.loads(json.dumps(document)) == ParamsFile().as_dict()


def test_a_section_is_one_that_some_model_fills():
    assert set(ParamsFile.model_fields) == set(SECTIONS)


def test_the_committed_schema_is_what_the_models_say():
    """`make schema` writes it."""
    assert json.loads((ROOT / SCHEMA).read_text(encoding="utf-8")) == schema()
    assert COMMITTED.read_text(encoding="utf-8").splitlines()[0] == f"# yaml-language-server: $schema={SCHEMA}"


def test_the_schema_takes_params_yaml_and_refuses_what_the_models_refuse():
    validator = jsonschema_rs.Draft202012Validator(schema())
    document = json.loads(json.dumps(read(COMMITTED)))
    assert validator.is_valid(document)
    assert validator.is_valid({"train": {"epochs": 3}})  # a part of the file, to be laid over it
    for wrong in ({"trian": {}}, {"train": {"epoch": 3}}, {"train": {"epochs": 0}}, {"split": {"test_folds": "last"}}):
        assert not validator.is_valid(document | wrong), wrong


def test_every_key_is_described():
    parts = schema()["$defs"]
    assert len(parts) > 10
    for name, part in parts.items():
        assert part["description"], name
        missing = [key for key, value in part["properties"].items() if not value.get("description")]
        assert not missing, name


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
        build(TrainParams, {"augment": values}, "train")
