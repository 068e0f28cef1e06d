"""Study files: defaults, overrides, there and back, and what is said about wrong ones."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.config.load import dump_config, load_config
from qap.config.schema import Study
from qap.errors import InputError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_study_files_of_the_project_load_and_come_back_equal(path: Path) -> None:
    config = load_config(path)
    assert Study.model_validate(yaml.safe_load(dump_config(config))) == config


def test_overrides_take_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("search: {trials: 7}\ntrain: {learning_rate: 1e-3}\n")
    config = load_config(path, ["search.trials=9", "search.space.weight_bits=6", "prune.layers.fc1.end=0.25"])
    assert config.search.trials == 9
    assert config.search.space.weight_bits == [6]
    assert config.prune.layers["fc1"].end == 0.25
    assert config.train.learning_rate == 1e-3


WRONG = [
    ("serch.trials=3", "unknown key serch", "did you mean 'search'"),
    ("search.trial=3", "unknown key search.trial", "did you mean 'trials'"),
    (
        "search.space.layers.fc1.weigt_bits=3",
        "unknown key search.space.layers.fc1.weigt_bits",
        "did you mean 'weight_bits'",
    ),
    ("search.trials=many", "search.trials: expected", "received 'many'"),
    ("search.trials=0", "search.trials", "received 0"),
    ("search.trials=1.5", "search.trials", "received 1.5"),
    ("search.space.weight_bits=0", "search.space.weight_bits", "received 0"),
    ("search.space.weight_bits=1", "search.space.weight_bits", "greater than or equal to 2"),
    ("search.space.weight_bits=[4,40]", "search.space.weight_bits", "received 40"),
    ("search.space.activation_bits=40", "search.space.activation_bits", "received 40"),
    ("search.space.sparsity=1.0", "search.space.sparsity", "less than 1"),
    ("search.space.tie=[bits]", "search.space.tie", "'weight_bits'"),
    ("search.strategy=annealing", "search.strategy", "'nsga2'"),
    ("search.objectives=[accuracy]", "objectives", "two or more"),
    ("search.seconds=-1", "search.seconds", "greater than 0"),
    ("model.hidden=64", "model.hidden", "list"),
    ("model.hidden=[64,true]", "model.hidden", "received True"),
    ("train.learning_rate=fast", "train.learning_rate", "received 'fast'"),
    ("prune.begin=0.9", "prune", "begin below end"),
    ("data.split=[0.5,0.5]", "split", "three fractions"),
    ("data.input.integer=12", "data.input", "integer bits up to bits"),
    ("firmware.Backend=Quartus", "firmware.Backend", "'Vitis'"),
    ("firmware.ReuseFactor=0", "firmware.ReuseFactor", "received 0"),
    ("firmware.Part=a b; rm", "firmware.Part", "matches"),
    ("name=../up", "name", "matches"),
    ("seed=-1", "seed", "received -1"),
    ("search=3", "search", "received 3"),
    ("search.trials.more=3", "search.trials", "expected"),
    ("trials", "expected section.key=value", "'trials'"),
    ("search.trials=[", "search.trials=[", "not valid YAML"),
]


@pytest.mark.parametrize(("override", "where", "what"), WRONG)
def test_a_wrong_value_is_named_with_what_was_expected(override: str, where: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(None, [override])
    message = str(caught.value)
    assert where in message, message
    assert what in message, message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("search: [", "not valid YAML"),
        ("a: 1\na: 2\n", "given twice"),
        ("- 1\n", "expected sections"),
        ("!!python/object/apply:os.getcwd []\n", "not valid YAML"),
        ("search:\n  trials: 3\n   seconds: 4\n", "not valid YAML"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="study.yaml") as caught:
        load_config(path)
    assert what in str(caught.value)


def test_a_table_in_the_place_of_a_study_file_and_a_misspelt_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("events.csv", "events.NPZ"):
        (tmp_path / name).write_bytes(b"a,b\n1,2\n")
        with pytest.raises(InputError, match=f"{name}: holds events, not a study: `qap init .*{name}`"):
            load_config(tmp_path / name)
    (tmp_path / "study.yaml").write_text("{}\n")
    with pytest.raises(InputError, match=r"stduy.yaml: no such study file \(did you mean 'study.yaml'\?\)"):
        load_config(tmp_path / "stduy.yaml")
    with pytest.raises(InputError, match=r"elsewhere/study.yaml: no such study file$"):
        load_config(tmp_path / "elsewhere" / "study.yaml")


def test_a_missing_and_a_binary_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such study file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x93")
    with pytest.raises(InputError, match="cannot be read as text|not valid YAML"):
        load_config(tmp_path / "binary.yaml")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_no_text_gives_a_traceback(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(load_config(None, [text]), Study)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*Study.model_fields, "trials", "space"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_no_file_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(yaml.safe_dump(tree))
    with contextlib.suppress(InputError):
        config = load_config(path)
        assert Study.model_validate(yaml.safe_load(dump_config(config))) == config


def test_the_signal_class_is_spelled_class(tmp_path: Path) -> None:
    config = load_config(None, ["search.signal={class: w, background_efficiency: 0.02}"])
    (tmp_path / "study.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "study.yaml") == config
    assert load_config(None, ["search.signal.class=3"]).search.signal.class_ == 3
    with pytest.raises(InputError, match=r"unknown key search.signal.clas \(did you mean 'class'\?\)"):
        load_config(None, ["search.signal.clas=w"])
    for wrong in ("0", "1", "-0.1", "2"):
        with pytest.raises(InputError, match="search.signal.background_efficiency: expected"):
            load_config(None, [f"search.signal.background_efficiency={wrong}"])
