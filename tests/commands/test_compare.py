"""``qap compare`` on the command line: what it writes, and wrong input in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qap.__main__ import main

from ..conftest import blobs

QUICK = [
    "train.batch=100", "train.parent_epochs=1", "train.epochs=1", "compare.seeds=1", "firmware.build=false", "model.hidden=[6]",
]  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    table = blobs(800)
    np.savez(tmp_path / "blobs.npz", features=table.features, labels=table.labels)
    path = tmp_path / "study.yaml"
    path.write_text("name: few\ndata: {name: blobs.npz}\n")
    return path


def test_a_comparison_writes_tables_figure_and_page(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = study.parent / "out"
    methods = "compare.methods={float: [train], qap: [qap], seq: [prune, ptq]}"
    assert main(["compare", str(study), *QUICK, methods, "--output", str(output)]) == 0
    told = capsys.readouterr()
    for name in ("compare.csv", "compare.md", "compare.png", "compare.pdf", "compare.html", "config.yaml", "results.jsonl"):
        assert (output / name).stat().st_size > 0, name
    assert "prune → ptq" not in told.out
    assert "seq" in told.out
    assert "seed 1: seq: 3 of 3" in told.err
    assert "qap compare" in (output / "compare.md").read_text()
    assert not list(output.rglob("*.part*"))
    assert main(["compare", str(study), *QUICK, methods, "--output", str(output), "--resume", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("arguments", "message"), [
    (["compare.methods={a: [qapp]}"], "compare.methods.a: compress: expected of"),
    (["compare.methods={a: {compress: [qap], granularity: half}}"], "compare.methods.a: granularity"),
    (["compare.methods={a: {compress: [qap], granularity: 3:4}}"], "compare.methods.a.granularity: expected text such as"),
    (["compare.methods={a: {compress: [qap], granularty: neuron}}"], "did you mean 'granularity'"),
    (["compare.methods={}"], "compare.methods: expected"),
    (["compare.sparsity=1.0"], "compare.sparsity: expected less than 1"),
    (["compare.weight_bits=1"], "compare.weight_bits: expected greater than or equal to 2"),
    (["compare.against=qapp"], "against: expected a row of methods"),
    (["compare.seeds=0"], "compare.seeds: expected greater than or equal to 1"),
    (["distill.temperature=0"], "distill.temperature: expected greater than 0"),
    (["distill.temperature=-2"], "distill.temperature"),
    (["distill.alpha=1.5"], "distill.alpha: expected less than or equal to 1"),
    (["distill.teachers=[parnt]"], "distill.teachers"),
    (["ptq.events=1"], "ptq.events: expected greater than or equal to 2"),
    (["ptq.range=max"], "ptq.range"),
    (["cluster.values=1"], "cluster.values"),
    (["low_rank.rank=0"], "low_rank.rank"),
    (["prune.schedule=linear"], "prune.schedule: expected 'constant', 'polynomial' or 'cosine'"),
    (["prune.criterion=size"], "prune.criterion"),
    (["train.batch=100000"], "train.batch: expected at most"),
    (["data.name=nothing.npz"], "no such file"),
])  # fmt: skip
def test_wrong_input_ends_in_a_sentence(
    arguments: list[str], message: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = study.parent / "out"
    assert main(["compare", str(study), *QUICK, *arguments, "--output", str(output)]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert "Traceback" not in told.err
    assert len(told.err.splitlines()) <= 4
    assert not output.exists(), "nothing is written"


def test_a_teacher_of_other_outputs_refuses_its_row(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from qap.backend import stack

    layers = stack().keras.layers
    inputs = layers.Input((6,))
    stack().keras.Model(inputs, layers.Dense(4)(inputs)).save(study.parent / "teacher.keras")
    arguments = ["distill.teachers=[teacher.keras]", "compare.methods={float: [train], kd: [distill+qat]}"]
    output = study.parent / "out"
    assert main(["compare", str(study), *QUICK, *arguments, "--output", str(output)]) == 0
    assert "kd: refused: distill.teachers" in (told := capsys.readouterr()).out
    assert "teacher and student must have the same outputs: expected 3, received the shape (None, 4)" in told.out


def test_a_stopped_comparison_says_how_to_go_on(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qap.compare.run.run_compare", stopped)
    assert main(["compare", str(study), *QUICK, "--output", str(study.parent / "out")]) == 1
    assert "Go on with: qap compare" in (told := capsys.readouterr().err)
    assert "--resume" in told
