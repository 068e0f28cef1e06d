"""Code that comes with a study or a model file runs only when the user says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from qap.__main__ import main
from qap.commands.options import Parser, add_study, check_function
from qap.errors import InputError

STUDY = "name: mine\nmodel: {function: 'theirs:model'}\n"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study file whose Python file leaves a trace when it is imported."""
    (tmp_path / "theirs.py").write_text(f"open({str(tmp_path / 'noted')!r}, 'w').close()\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


@pytest.mark.parametrize("verb", ["search", "compare", "train"])
def test_the_python_file_of_a_study_is_not_run_unasked(verb: str, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = study.with_name("plan.yaml")
    plan.write_text("fc1: {weight: 'quantized_bits(6,0)', bias: 'quantized_bits(6,0)'}\n")
    words = [verb, str(study), "firmware.build=false", "--output", str(study.parent / "out")]
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(main([*words, "--plan", str(plan)] if verb == "train" else words))
    assert stop.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].endswith("theirs:model is Python code that comes with the study: read it, then add --trust to run it")
    assert not (study.parent / "noted").exists()
    assert not (study.parent / "out").exists()


def test_who_names_the_function_has_seen_it() -> None:
    check_function(None, (), False)
    check_function("mine:model", ["seed=3", "model.function=mine:model"], False)
    check_function("mine:model", (), True)
    with pytest.raises(InputError, match="add --trust"):
        check_function("mine:model", ["seed=3"], False)
    parser = Parser()
    add_study(parser)
    assert parser.parse_args(["study.yaml", "--trust"]).trust
    assert not parser.parse_args(["study.yaml"]).trust
