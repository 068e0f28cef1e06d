"""The vendor flow, with stand-ins for the tools that run the real Tcl and leave report files."""

import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from qap.errors import InputError, QapError, ToolMissingError
from qap.firmware import vendor

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MAKEFILE = ROOT / "firmware"
BARE = os.defpath
TOOLS = {"vitis": "vitis_hls", "vivado": "vivado_hls"}
VERSION = {"vitis": "vitis_2022.2", "vivado": "vivado_2020.1"}
needs_tclsh = pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh to run the Tcl of the flow")


def templates() -> Path:
    return Path(importlib.util.find_spec("hls4ml").origin).parent / "templates"


def make_project(folder: Path, backend: str) -> Path:
    """The files that hls4ml writes around its C++: its own build_prj.tcl and our project.tcl."""
    (folder / "firmware").mkdir(parents=True)
    (folder / "firmware" / "tagger.cpp").write_text("// top function\n")
    for name in ("build_prj.tcl", "build_opt.tcl"):
        source = templates() / backend / name
        if source.is_file():
            shutil.copy(source, folder / name)
    shutil.copy(HERE / "reports" / VERSION[backend] / "project.tcl", folder)
    (folder / "hls4ml_config.yml").write_text(f"Backend: {backend.title()}\nClockPeriod: 5\n")
    return folder


@pytest.fixture(params=["vitis", "vivado"])
def project(request, tmp_path):
    return make_project(tmp_path / "project", request.param)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A folder for stand-ins, first on a PATH that has no vendor tool."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{BARE}")
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def vendor_tools(tools, monkeypatch, project):
    """Stand-ins that run the scripts they are given under tclsh."""
    tclsh = shutil.which("tclsh", path=BARE) or "tclsh"
    run = f'exec {tclsh} "{HERE}/tools/hls.tcl"'
    for name in TOOLS.values():
        tool(tools, name, f'[ "$1" = -f ] || exit 9; shift; {run} "$@"')
    tool(tools, "vivado", f'while [ $# -gt 1 ]; do shift; done; {run} "$1"')
    monkeypatch.setenv("REPORTS", str(HERE / "reports" / VERSION[backend_of(project)]))
    monkeypatch.setenv("RTL", "1 2 3\n")
    return tools


def run(*command: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, env=env)


def make(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return run("make", "-C", MAKEFILE, *arguments, env=env)


def backend_of(project: Path) -> str:
    return "vitis" if 'backend "vitis"' in (project / "project.tcl").read_text() else "vivado"


def calls(project: Path) -> list[str]:
    return (project / "calls.log").read_text().splitlines()


@needs_tclsh
def test_all_stages_leave_their_reports(project, vendor_tools):
    costs = vendor.run_stages(project)
    assert list(costs) == ["csynth", "cosim", "vsynth", "impl"]
    assert costs["csynth"]["LUT"] == {"vitis": 19755, "vivado": 58253}[backend_of(project)]
    assert costs["impl"]["WNS"] == {"vitis": 1.284, "vivado": -0.037}[backend_of(project)]
    done = [line.split()[0] for line in calls(project)]
    for name in ("csim_design", "csynth_design", "cosim_design", "export_design"):
        assert done.count(name) == 1, name
    part = {"vitis": "xcvu13p-flga2577-2-e", "vivado": "xcvu9p-flgb2104-2-e"}[backend_of(project)]
    assert f"synth_design -mode out_of_context -top tagger -part {part}" in calls(project)
    assert "read_xdc -mode out_of_context ooc_clock.xdc" in calls(project)
    assert (project / "ooc_clock.xdc").read_text() == "create_clock -name ap_clk -period 5 [get_ports ap_clk]\n"
    order = [name for name in done if name in ("synth_design", "open_checkpoint", "place_design", "route_design")]
    assert order == ["synth_design", "open_checkpoint", "place_design", "route_design"]
    for stage in vendor.STAGES:
        assert (project / f"qap_{stage}.log").is_file()
    for name in ("build_prj.tcl", "build_opt.tcl"):
        own = templates() / backend_of(project) / name
        assert not own.is_file() or (project / name).read_text() == own.read_text(), f"{name} is not as it came"
    assert not [path.name for path in project.iterdir() if path.name.startswith(".")]


@needs_tclsh
def test_each_stage_does_only_its_own_work(project, vendor_tools):
    vendor.run_stage(project, "csynth", log=project / "mine.log")
    assert [line for line in calls(project) if "design" in line] == ["csynth_design"]
    assert (project / "mine.log").is_file()


@needs_tclsh
def test_cosim_that_differs_from_csim_fails(project, vendor_tools, monkeypatch):
    monkeypatch.setenv("RTL", "1 2 4\n")
    with pytest.raises(QapError, match=r"cosim: the tool ended with exit code 1 .*qap_cosim\.log"):
        vendor.run_stages(project, ["csim", "csynth", "cosim"])
    assert "Test failed" in (project / "qap_cosim.log").read_text()


@needs_tclsh
def test_make_runs_the_same_flow(project, vendor_tools):
    done = make("all", f"PROJECT={project}")
    assert done.returncode == 0, done.stderr
    assert set(vendor.read_reports(project)) == {"csynth", "cosim", "vsynth", "impl"}


@needs_tclsh
def test_vitis_run_takes_the_place_of_vitis_hls(tmp_path, tools, monkeypatch):
    project = make_project(tmp_path / "project", "vitis")
    monkeypatch.setenv("REPORTS", str(HERE / "reports" / VERSION["vitis"]))
    script = f'[ "$1 $2 $3" = "--mode hls --tcl" ] || exit 9\nexec tclsh "{HERE}/tools/hls.tcl" "$4"'
    tool(tools, "vitis-run", script)
    assert vendor.run_stages(project, ["csynth"])["csynth"]["LUT"] == 19755


@pytest.mark.parametrize("stage", vendor.STAGES)
def test_a_missing_tool_is_named_in_one_sentence(project, tools, stage):
    name = "vivado" if stage in ("vsynth", "impl") else TOOLS[backend_of(project)]
    sentence = rf"^{name}( \(or vitis-run\))? is not on PATH: [^\n]*{stage} was not run\.$"
    with pytest.raises(ToolMissingError, match=sentence) as caught:
        vendor.run_stage(project, stage)
    assert caught.value.exit_code == 3
    flow = run("sh", MAKEFILE / "flow.sh", stage, project)
    assert (flow.returncode, flow.stdout, flow.stderr) == (3, "", f"{caught.value}\n")
    made = make(stage, f"PROJECT={project}")
    assert made.returncode != 0
    assert f"{caught.value}\n" in made.stderr
    assert "Error 3" in made.stderr


def test_finds_the_tools_on_path(tools):
    assert vendor.find_tools() == {}
    tool(tools, "vivado", "exit 0")
    tool(tools, "v++", "exit 0")
    assert vendor.find_tools() == {"vivado": tools / "vivado", "v++": tools / "v++"}


def test_a_tool_that_fails_is_reported_with_its_log(project, tools):
    tool(tools, TOOLS[backend_of(project)], "echo ERROR: no licence; exit 7")
    with pytest.raises(QapError, match=r"csim: the tool ended with exit code 7 .*log: .*qap_csim\.log"):
        vendor.run_stage(project, "csim")
    assert "no licence" in (project / "qap_csim.log").read_text()


def test_a_tool_that_leaves_no_new_report_has_not_done_the_stage(project, tools):
    tool(tools, TOOLS[backend_of(project)], "exit 0")
    report = project / "tagger_prj" / "solution1" / "syn" / "report" / "tagger_csynth.xml"
    for old in (False, True):
        if old:
            report.parent.mkdir(parents=True)
            report.write_text("of an earlier run")
        with pytest.raises(QapError, match=r"csynth: the tool ended without writing .*tagger_csynth\.xml"):
            vendor.run_stage(project, "csynth")


def test_a_stage_that_takes_too_long_is_stopped_with_its_children(project, tools, monkeypatch):
    monkeypatch.setattr(vendor, "GRACE", 0.5)
    tool(tools, TOOLS[backend_of(project)], 'trap "" TERM\nsleep 300 & echo $! > child.pid\necho started\nwait')
    start = time.monotonic()
    with pytest.raises(QapError, match=r"csim: not finished after 1 s .*stopped"):
        vendor.run_stage(project, "csim", timeout=1)
    assert time.monotonic() - start < 30
    child = int((project / "child.pid").read_text())
    for _ in range(50):
        state = Path(f"/proc/{child}/stat")
        if not state.is_file() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"the child {child} of the tool still runs")
    assert "started" in (project / "qap_csim.log").read_text()
    tool(tools, TOOLS[backend_of(project)], "exit 7")
    with pytest.raises(QapError, match="exit code 7"):
        vendor.run_stage(project, "csim")
    own = templates() / backend_of(project) / "build_opt.tcl"
    assert not own.is_file() or (project / "build_opt.tcl").read_text() == own.read_text()


@pytest.mark.parametrize(("stage", "first"), [
    ("cosim", "csim"), ("export", "csynth"), ("vsynth", "csynth"), ("impl", "vsynth"),
])
def test_a_stage_says_which_one_comes_first(project, tools, stage, first):
    for name in (*TOOLS.values(), "vivado"):
        tool(tools, name, "exit 0")
    with pytest.raises(InputError, match=f"{stage}: expected .* run the stage {first} first"):
        vendor.run_stage(project, stage)


HOSTILE = [
    "with space", "semi;touch PWNED;", "back`touch PWNED`", "dollar$(touch PWNED)", "tcl[exec touch PWNED]", 'quote"x',
    "quote'x", "brace{x}", "hash#x", "new\nline", "star*", "amp&touch PWNED", "back\\slash", "-option",
    "make$(shell touch PWNED)", "percent%s", "tilde~/x y", "utfé",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_a_shell_or_tcl_would_read_are_refused(tmp_path, tools, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    project = make_project(tmp_path / name, "vitis")
    for other in (*TOOLS.values(), "vivado"):
        tool(tools, other, f"touch {tmp_path}/RAN")
    with pytest.raises(InputError, match="expected a path of letters"):
        vendor.run_stage(project, "csynth")
    assert run("sh", vendor.FLOW, "csynth", project).returncode == 2
    environment = {**os.environ, "PROJECT": str(project)}
    for made in (make("csynth", f"PROJECT={project}"), make("csynth", env=environment)):
        assert made.returncode != 0
        assert "expected a path of letters" in made.stderr, made.stderr
    left = [path for folder in (tmp_path, project, MAKEFILE) for path in folder.iterdir()]
    assert not {"PWNED", "RAN"} & {path.name for path in left}, left


def test_a_plain_name_below_a_hostile_folder_is_refused(tmp_path, tools, monkeypatch):
    project = make_project(tmp_path / "a b" / "project", "vitis")
    monkeypatch.chdir(project.parent)
    with pytest.raises(InputError, match="full path"):
        vendor.run_stage(Path("project"), "csynth")


@pytest.mark.parametrize(("file", "old", "new", "message"), [
    ("project.tcl", '"tagger"', '"$(id)"', "C name"),
    ("project.tcl", "set part \"xcvu13p-flga2577-2-e\"", 'set part "a;b"', "expected a part"),
    ("hls4ml_config.yml", "Backend: Vitis", "Backend: Vivado", "convert the model again"),
    ("hls4ml_config.yml", "Backend: Vitis", "Backend: oneAPI", "convert the model again"),
])
def test_a_project_that_contradicts_itself_is_refused(tmp_path, tools, file, old, new, message):
    project = make_project(tmp_path / "project", "vitis")
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        vendor.run_stage(project, "csynth")


def test_unknown_stages_and_folders_are_refused(tmp_path, tools, project):
    for call in (lambda: vendor.run_stage(project, "bitstream"), lambda: vendor.run_stages(project, ["csim", "place"])):
        with pytest.raises(InputError, match=r"expected .*csim, csynth, cosim, export, vsynth, impl, received"):
            call()
    with pytest.raises(InputError, match=r"found no project\.tcl"):
        vendor.run_stage(tmp_path / "nowhere", "csim")


def test_the_copies_in_firmware_are_the_package_files():
    for name in ("flow.sh", "ooc_synth.tcl", "ooc_impl.tcl"):
        assert (MAKEFILE / name).resolve() == vendor.FLOW.parent / name
