"""Every verb with a wrong word, a wrong file or a wrong value: what is wrong in four lines at most, exit code 2."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from qap.__main__ import VERBS, main

from ..conftest import blobs

STUDY = "data: {name: events.npz}\nmodel: {hidden: [4]}\ntrain: {batch: 100, epochs: 1, parent_epochs: 1}\n"
PLAN = "fc1: {weight: 'quantized_bits(4,0)', bias: 'quantized_bits(8,2)', activation: 'quantized_relu(4,2)'}\n"
OUTPUT = "output: {weight: 'quantized_bits(4,0)', bias: 'quantized_bits(8,2)'}\n"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind, right and wrong ones."""
    folder = tmp_path_factory.mktemp("given")
    table = blobs(400)
    np.savez(folder / "events.npz", features=table.features, labels=table.labels)
    np.savez(folder / "scores.npz", labels=np.array([0, 1, 1]), scores=np.array([0.1, 0.7, 0.8]))
    np.savez(folder / "nolabels.npz", scores=np.array([0.1, 0.7, 0.8]))
    np.savez(folder / "far.npz", labels=np.array([0, 7, 1]), scores=np.eye(3))
    np.savez(folder / "objects.npz", labels=np.array([{}], dtype=object), scores=np.array([0.1]))
    texts = {
        "study.yaml": STUDY,
        "plan.yaml": PLAN + OUTPUT,
        "plan_layers.yaml": PLAN.replace("fc1", "fc2") + OUTPUT,
        "plan_bits.yaml": PLAN.replace("bits(4,0)", "bits(40,0)") + OUTPUT,
        "plan_key.yaml": PLAN.replace("weight:", "wieght:") + OUTPUT,
        "plan_text.yaml": "just words\n",
        "broken.yaml": "data: {name: jets\nmodel: [",
        "twice.yaml": "seed: 1\nseed: 2\n",
        "list.yaml": "- a\n- b\n",
        "tabs.yaml": "data:\n\tname: jets\n",
        "unknown.yaml": "modle: {hidden: [4]}\n",
        "typed.yaml": "model: {hidden: four}\n",
        "notfound.yaml": "data: {name: none.csv}\n",
        "events.csv": "a,b,label\n" + "".join(f"{i * 0.37},{i % 7 * 0.11},{'sig' if i % 2 else 'bkg'}\n" for i in range(200)),
        "nolabel.csv": "a,b\n" + "".join(f"{i * 0.37},{i % 7 * 0.11}\n" for i in range(200)),
        "few.csv": "a,label\n" + "".join(f"{i * 0.37},{'rare' if i < 3 else 'often'}\n" for i in range(200)),
        "noheader.csv": "1,2,3\n4,5,6\n",
        "empty.csv": "",
        "words.txt": "nothing of the kind\n",
        "model.keras": "no model",
        "model.h5": "no model",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00\x80")
    (folder / "part.npz").write_bytes((folder / "events.npz").read_bytes()[:500])
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    (folder / "begun").mkdir()
    (folder / "begun" / "config.yaml").write_text(STUDY)
    (folder / "broken").mkdir()
    (folder / "broken" / "report.json").write_text("{")
    (folder / "old").mkdir()
    (folder / "old" / "report.json").write_text('{"format_version": 0}')
    return folder


WRONG: list[tuple[str, str]] = [
    # words
    ("", "expected a verb"),
    ("serch study.yaml", "did you mean 'search'?"),
    ("--verbose", "expected a verb"),
    ("search", "expected STUDY.yaml"),
    ("search study.yaml --outptu x", "unknown option --outptu (did you mean '--output'?)"),
    ("search study.yaml --output", "expected one argument"),
    ("search study.yaml --quiet more", "one word too many: 'more'"),
    ("search study.yaml more", "expected section.key=value, received 'more'"),
    ("train study.yaml", "expected --plan"),
    ("compare study.yaml --seeds 3", "unknown option --seeds"),
    ("init", "expected DATA"),
    ("init events.csv --lable x", "unknown option --lable (did you mean '--label'?)"),
    ("doctor all", "one word too many: 'all'"),
    ("doctor --jason", "unknown option --jason (did you mean '--json'?)"),
    ("report", "expected STUDY_DIR"),
    ("report begun seed=2", "one word too many: 'seed=2'"),
    ("firmware model.keras --head softmax", "--head: expected one of logits, argmax, received 'softmax'"),
    ("firmware model.keras --rate 2", "--rate: expected a number between 0 and 1, received 2"),
    ("firmware model.keras --stage synthesis", "received 'synthesis' (did you mean 'vsynth'?)"),
    ("estimate full --clock 0", "--clock: expected a number above 0, received 0"),
    ("estimate full --clock five", "--clock: expected a number, received 'five'"),
    ("estimate full --tmux 1.5", "--tmux: expected 1 or more, received 1.5"),
    ("estimate full --clock nan", "--clock: expected a number, received 'nan'"),
    ("metrics scores.npz --bins 0", "--bins: expected 1 to 100000, received 0"),
    ("metrics scores.npz --background-efficiency 1", "expected a number between 0 and 1, received 1"),
    ("metrics scores.npz --kind logit", "received 'logit' (did you mean 'logits'?)"),
    ("metrics scores.npz --delta small", "expected a number, received 'small'"),
    ("export begun", "expected --format"),
    ("export begun --format onxx", "did you mean 'onnx'?"),
    ("data build", "KIND"),
    ("data make jets --output {new}/jets.npz", "expected build, received 'make'"),
    ("data build jet --output {new}/jets.npz", "did you mean 'jets'?"),
    ("data build jets n=ten --output {new}/jets.npz", "n: expected"),
    ("data build jets nn=10 --output {new}/jets.npz", "nn"),
    ("data build jets n=10 --processes none --output {new}/jets.npz", "--processes: expected 1 to 1024"),
    # study files
    ("search none.yaml", "none.yaml: no such study file"),
    ("search empty", "is a directory"),
    ("search begun", "config.yaml"),
    ("search broken.yaml", "not valid YAML"),
    ("search twice.yaml", "the key 'seed' is given twice"),
    ("search list.yaml", "expected sections such as data, model, search; received list"),
    ("search tabs.yaml", "tabs.yaml, line 2: not valid YAML"),
    ("search bytes.yaml", "cannot be read as text"),
    ("search unknown.yaml", "unknown key modle (did you mean 'model'?)"),
    ("search typed.yaml", "model.hidden: expected"),
    ("search notfound.yaml", "none.csv: no such file"),
    ("search events.npz", "events.npz: holds events, not a study: `qap init events.npz`"),
    ("search words.txt", "expected sections such as data, model, search; received str"),
    ("search model.keras", "expected sections"),
    # values
    ("search study.yaml search.trails=3", "unknown key search.trails (did you mean 'trials'?)"),
    ("search study.yaml serach.trials=3", "unknown key serach (did you mean 'search'?)"),
    ("search study.yaml search.trials=ten", "search.trials: expected a valid integer, received 'ten'"),
    ("search study.yaml search.trials=0", "received 0"),
    ("search study.yaml search.trials=[", "search.trials=[, line"),
    ("search study.yaml seed.more=1", "seed: expected a valid integer"),
    ("search study.yaml search.strategy=annealing", "search.strategy: expected 'hybrid'"),
    ("search study.yaml model.hidden=[4,-1]", "received -1"),
    ("search study.yaml data.split=[0.5,0.1,0.1]", "three fractions above 0 that add up to 1"),
    ("search study.yaml data.label=flavour --output {new}/s", "flavour"),
    ("search study.yaml firmware.Backend=Quartus", "firmware.Backend: expected 'Vitis' or 'Vivado', received 'Quartus'"),
    ("search study.yaml compress=[qapp] --output {new}/s", "qapp"),
    ("search study.yaml data.name=part.npz --output {new}/s", "part.npz"),
    ("search study.yaml --output full", "full: not empty"),
    ("search study.yaml --output {new}/s --resume", "no study here"),
    ("compare none.yaml", "none.yaml: no such study file"),
    ("compare study.yaml compare.sedes=2", "unknown key compare.sedes (did you mean 'seeds'?)"),
    ("compare study.yaml compare.against=none compare.methods={{a: [qap]}}", "expected a row of methods"),
    ("compare broken.yaml", "not valid YAML"),
    ("compare empty", "is a directory"),
    # plans
    ("train study.yaml --plan none.yaml", "none.yaml: not a readable plan file"),
    ("train study.yaml --plan empty", "empty: not a readable plan file"),
    ("train study.yaml --plan plan_text.yaml", "expected layers by name"),
    ("train study.yaml --plan plan_key.yaml", "unknown key 'wieght' (did you mean 'weight'?)"),
    ("train study.yaml --plan plan_bits.yaml", "expected bits from 1 to 32, received 40"),
    ("train study.yaml --plan plan_layers.yaml --output {new}/t", "expected the layers fc1, output, received fc2, output"),
    ("train study.yaml --plan plan.yaml --output full", "full: not empty"),
    ("train none.yaml --plan plan.yaml", "none.yaml: no such study file"),
    ("train study.yaml --plan plan.yaml train.epoch=3", "unknown key train.epoch (did you mean 'epochs'?)"),
    ("train study.yaml --plan plan.yaml search.trials=5", "search.trials: one plan is trained, nothing is searched"),
    ("train study.yaml --plan study.yaml", "study.yaml: plan: "),
    # data for init
    ("init none.csv", "none.csv: no such file"),
    ("init evens.csv", "no such file (did you mean 'events.csv'?)"),
    ("init jest", "did you mean 'jets'"),
    ("init full", "full: is a directory"),
    ("init .", "is a directory: name its files"),
    ("init *.root", "no file matches"),
    ("init words.txt", "unknown type of file"),
    ("init empty.csv", "empty"),
    ("init noheader.csv", "names of the columns in the first line"),
    ("init part.npz", "truncated or damaged"),
    ("init nolabel.csv", "which column holds the class? Give --label COLUMN"),
    ("init few.csv", "class 'rare' has 3 events"),
    ("init events.csv --label lable", "did you mean 'label'?"),
    ("init events.csv --label a", "use --targets a"),
    ("init events.csv --targets label", "'label' holds text"),
    ("init events.csv --label label --targets a", "give one of them"),
    ("init events.csv --weight label", "--weight: 'label' has text"),
    ("init events.csv --cut a>1000", "removes all 200 events"),
    ("init events.csv --cut c>0", "--cut: "),
    ("init events.csv --cut a>>0", "--cut: 'a>>0': BinOp is not allowed"),
    ("init events.csv --tree events", "--tree: events.csv: only ROOT and HDF5 files have trees"),
    ("init events.csv --output study.yaml", "study.yaml is there already"),
    ("init events.csv --output {new}/none/s.yaml", "no such directory"),
    ("init a=events.csv nolabel.csv", "CLASS=FILE for every file or for none"),
    ("init a=events.csv", "expected two classes or more"),
    ("init a=events.csv b=nolabel.csv", "other columns than"),
    ("init events.csv nolabel.csv", "other columns than"),
    # studies and projects
    ("report none", "none: no such directory"),
    ("report study.yaml", "is a file: give the study's directory"),
    ("report empty", "has no report.json: no study here"),
    ("report begun", "has not come to its end"),
    ("report broken", "report.json: expected a report in JSON"),
    ("report old", "expected a report of format_version"),
    ("firmware none.keras", "none.keras: no such model file or study"),
    ("firmware empty", "expected a model file (.keras, .h5), a study or a delivery"),
    ("firmware words.txt", "words.txt"),
    ("firmware model.keras", "model.keras"),
    ("firmware model.h5", "model.h5"),
    ("firmware begun", "no trained candidate"),
    ("firmware model.keras ReuseFacto=4", "unknown key firmware.ReuseFacto (did you mean 'ReuseFactor'?)"),
    ("firmware model.keras ClockPeriod=-1", "firmware.ClockPeriod: expected greater than 0, received -1"),
    ("export none.keras --format onnx", "none.keras"),
    ("export model.keras --format onnx", "model.keras"),
    ("export begun --format qonnx", "no trained candidate"),
    ("export model.keras --format onnx --calibration events.npz", "only tflite-int8 is calibrated"),
    ("export model.keras --format onnx --output {new}/none/m.onnx", "expected a file in a folder that exists"),
    ("export model.keras --format onnx --predictions scores.txt", "expected a file .npz"),
    ("estimate", "expected the directory of an hls4ml project"),
    ("estimate none", "none"),
    ("estimate empty", "empty"),
    ("estimate words.txt", "words.txt"),
    ("estimate full --part VU99", "VU99"),
    ("estimate full --learn full", "--learn goes without a PROJECT_DIR"),
    ("metrics none.npz", "none.npz: no such file"),
    ("metrics empty", "empty"),
    ("metrics words.txt", "expected an .npz file"),
    ("metrics nolabels.npz", "expected the arrays labels and scores, received scores"),
    ("metrics objects.npz", "expected plain arrays of numbers"),
    ("metrics part.npz", "part.npz"),
    ("metrics far.npz", "labels"),
    ("metrics scores.npz --output {new}/none/m.json", "cannot be written"),
]
SPACED = {"compare study.yaml compare.against=none compare.methods={{a: [qap]}}": 3}
"""Cases whose last word holds a space: the number of words."""


def _words(case: str, new: Path) -> list[str]:
    words = case.split(" ", SPACED[case]) if case in SPACED else case.split()
    output = ["--output", "{new}/s.yaml"] if words[:1] == ["init"] and "--output" not in words else []
    return [word.format(new=new) for word in [*words, *output]]


@pytest.mark.parametrize(("case", "message"), WRONG, ids=[case[:60] or "nothing" for case, _ in WRONG])
def test_wrong_input_is_said_in_four_lines_with_exit_code_2(
    given: Path, tmp_path: Path, case: str, message: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(given)
    monkeypatch.setenv("COLUMNS", "80")
    before, loaded = sorted(given.rglob("*")), "tensorflow" in sys.modules
    try:
        code: object = main(_words(case, tmp_path))
    except SystemExit as stop:
        code = stop.code
    printed = capfd.readouterr()
    assert code == 2, (code, printed)
    assert message in printed.err, printed.err
    assert "Traceback" not in printed.err + printed.out
    assert len(printed.err.splitlines()) <= 4, printed.err
    assert printed.out == ""
    assert sorted(given.rglob("*")) == before, "nothing is left behind"
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    assert loaded or "tensorflow" not in sys.modules, "a wrong word does not cost the import of TensorFlow"


def test_every_verb_is_in_the_table() -> None:
    assert {case.split()[0] for case, _ in WRONG if case} >= set(VERBS) - {"anomaly"}  # its own tests are in test_anomaly.py
    assert len(WRONG) >= 60


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_has_examples_and_exit_codes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    printed = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"qap {verb}" in printed.split("examples:")[1]
    assert "exit codes: 0 done" in printed


def test_help_names_every_verb_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    printed = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"\n    {verb} " in printed for verb in VERBS)
    assert "0 done, 1 failed on the way, 2 wrong input, 3 a tool is missing" in printed


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("qap 0.")


def test_a_full_disk_is_no_traceback(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    shutil.copy(given / "events.csv", tmp_path)
    (tmp_path / ".s.yaml.part").symlink_to("/dev/full")
    assert main(["init", str(tmp_path / "events.csv"), "--quiet", "--output", str(tmp_path / "s.yaml")]) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert len(error.splitlines()) == 1
