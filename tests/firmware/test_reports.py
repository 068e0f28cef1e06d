"""The report parsers, on report files in the vendors' formats: right figures, and never a silently wrong one."""

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.candidate import Cost
from qap.errors import InputError
from qap.firmware import reports

FOLDER = Path(__file__).parent / "reports"
VERSIONS = ("vivado_2019.2", "vivado_2020.1", "vitis_2022.2", "vitis_2023.2", "vitis_2024.1")
CSYNTH = "tagger_prj/solution1/syn/report/tagger_csynth"
COSIM = "tagger_prj/solution1/sim/report/tagger_cosim.rpt"

# Read off the files by eye: LUT, FF, DSP, BRAM_18K, URAM by stage, then cycles, II, clock periods and WNS.
RESOURCES = {
    "vivado_2019.2": {"csynth": (10028, 5014, 61, 6, 0), "vsynth": (6127, 4903, 61, 7), "impl": (5719, 4771, 61, 7)},
    "vivado_2020.1": {
        "csynth": (58253, 24984, 1432, 4, 0), "vsynth": (28411, 17480, 1432, 4, 0), "impl": (27106, 17391, 1432, 4, 0),
    },
    "vitis_2022.2": {
        "csynth": (19755, 4385, 24, 0, 0), "vsynth": (9811, 3902, 24, 0, 0), "impl": (9306, 3871, 24, 0, 0),
    },
    "vitis_2023.2": {
        "csynth": (42458, 19577, 410, 43, 2), "vsynth": (23874, 14207, 410, 39, 2), "impl": (22890, 14102, 410, 39, 2),
    },
    "vitis_2024.1": {"csynth": (2210, 1013, 0, 0, 0), "vsynth": (1187, 881, 0, 0, 0), "impl": (1131, 874, 0, 0, 0)},
}
TIMING = {  # latency best and worst, II best and worst, target clock, csynth's estimate, WNS after synthesis and route
    "vivado_2019.2": (21, 21, 4, 4, 10.0, 8.513, 1.207, 0.412),
    "vivado_2020.1": (15, 15, 1, 1, 5.0, 4.337, 0.551, -0.037),
    "vitis_2022.2": (11, 11, 1, 1, 5.0, 3.645, 1.911, 1.284),
    "vitis_2023.2": (37, 52, 18, 33, 3.33, 2.431, 0.402, 0.018),
    "vitis_2024.1": (5, 5, 1, 1, 2.5, 1.812, 0.902, 0.731),
}


def read(version: str, name: str) -> str:
    return (FOLDER / version / name).read_text(encoding="utf-8")


PARSERS = {
    "xml": (f"{CSYNTH}.xml", reports.parse_csynth_xml),
    "rpt": (f"{CSYNTH}.rpt", reports.parse_csynth_rpt),
    "cosim": (COSIM, reports.parse_cosim),
    "vsynth": ("vivado_synth.rpt", lambda text: reports.parse_utilization(text, "vsynth")),
    "impl": ("vivado_impl.rpt", lambda text: reports.parse_utilization(text, "impl")),
    "vsynth_timing": ("vivado_synth_timing.rpt", lambda text: reports.parse_timing(text, "vsynth")),
    "impl_timing": ("vivado_impl_timing.rpt", lambda text: reports.parse_timing(text, "impl")),
}
CASES = [(version, kind) for version in VERSIONS for kind in PARSERS]


def values(cost: Cost) -> dict[str, tuple[float, float]]:
    return {name: (figure.low, figure.value) for name, figure in cost.figures.items()}


def parsed(kind: str, text: str) -> dict[str, tuple[float, float]] | None:
    """The figures of a text, None where it is refused; any other exception than InputError fails the test."""
    try:
        return values(PARSERS[kind][1](text))
    except InputError:
        return None


@pytest.mark.parametrize("version", VERSIONS)
def test_reads_every_stage(version):
    costs = reports.read_reports(FOLDER / version)
    assert list(costs) == list(reports.STAGES)
    for stage, expected in RESOURCES[version].items():
        names = [name for name in ("LUT", "FF", "DSP", "BRAM_18K", "URAM") if name in costs[stage].figures]
        assert tuple(costs[stage][name] for name in names) == expected, (stage, names)
    best, worst, ii_best, ii_worst, target, estimate, wns_synth, wns_route = TIMING[version]
    csynth = costs["csynth"]
    assert values(csynth)["latency_cycles"] == (best, worst)
    assert values(csynth)["II"] == (ii_best, ii_worst)
    assert values(csynth)["latency_ns"] == pytest.approx((best * target, worst * target))
    assert (csynth["clock_target_ns"], csynth["clock_estimate_ns"]) == (target, estimate)
    assert values(costs["cosim"])["latency_cycles"] == (best, worst)
    assert costs["vsynth"]["WNS"] == wns_synth
    assert costs["impl"]["WNS"] == wns_route
    assert costs["impl"]["clock_target_ns"] == target
    assert costs["impl"]["clock_estimate_ns"] == pytest.approx(target - wns_route)


@pytest.mark.parametrize("version", VERSIONS)
def test_source_names_tool_version_and_stage(version):
    backend, number = version.split("_")
    costs = reports.read_reports(FOLDER / version)
    tool, target = f"{backend.title()} HLS {number}", TIMING[version][4]
    assert costs["csynth"].figures["LUT"].source == f"csynth, {tool}, target clock {target:g} ns"
    assert costs["csynth"].figures["latency_ns"].source.endswith("cycles times target clock")
    assert costs["vsynth"].figures["LUT"].source == f"post-synthesis, Vivado {number}"
    assert costs["impl"].figures["WNS"].source == f"place and route, Vivado {number}"
    assert costs["impl"].figures["WNS"].unit == "ns"
    assert costs["cosim"].figures["latency_cycles"].source.startswith("cosim")


@pytest.mark.parametrize("version", VERSIONS)
def test_both_csynth_reports_say_the_same(version):
    assert values(reports.parse_csynth_xml(read(version, f"{CSYNTH}.xml"))) == values(
        reports.parse_csynth_rpt(read(version, f"{CSYNTH}.rpt"))
    )


def test_open_figures_are_left_out():
    text = read("vitis_2023.2", f"{CSYNTH}.xml")
    text = text.replace("<Best-caseLatency>37<", "<Best-caseLatency>undef<").replace(
        "<Worst-caseLatency>52<", "<Worst-caseLatency>undef<"
    )
    cost = reports.parse_csynth_xml(text)
    assert "latency_cycles" not in cost.figures
    assert "latency_ns" not in cost.figures
    assert cost["II"] == 33
    assert "II" not in reports.parse_cosim(read("vitis_2024.1", COSIM)).figures  # one event has no interval
    assert "URAM" not in reports.parse_utilization(read("vivado_2019.2", "vivado_synth.rpt"), "vsynth").figures


def test_two_kinds_of_block_ram_count_in_halves():
    cost = reports.parse_utilization(read("vitis_2023.2", "vivado_synth.rpt"), "vsynth")
    assert cost["BRAM_18K"] == 2 * 15 + 9


REFUSED = [  # kind, version, old, new, what the message must say
    ("xml", "vitis_2022.2", "<LUT>19755</LUT>", "<LUT>~0</LUT>", "whole number as LUT"),
    ("xml", "vitis_2022.2", "<LUT>19755</LUT>", "<LUT>-</LUT>", "whole number as LUT"),
    ("xml", "vitis_2022.2", "<LUT>19755</LUT>", "", "one AreaEstimates/Resources/LUT"),
    ("xml", "vitis_2022.2", "<DSP>24</DSP>", "<DSP>24</DSP><DSP>25</DSP>", "one AreaEstimates/Resources/DSP"),
    ("xml", "vitis_2022.2", "<FF>4385</FF>", "<FF>-4385</FF>", "whole number as FF"),
    ("xml", "vitis_2022.2", "<unit>ns</unit>", "<unit>ps</unit>", "unit ns"),
    ("xml", "vitis_2022.2", "<Worst-caseLatency>11", "<Worst-caseLatency>9", "above the worst case"),
    ("xml", "vitis_2022.2", "<Worst-caseLatency>11", "<Worst-caseLatency>undef", "worst latency"),
    ("xml", "vitis_2022.2", "<profile>", "<!DOCTYPE profile [<!ENTITY a 'b'>]><profile>", "document type"),
    ("xml", "vitis_2022.2", "<TargetClockPeriod>5.00<", "<TargetClockPeriod>0.00<", "above 0 ns"),
    ("rpt", "vitis_2022.2", "Vitis HLS Report", "Catapult Report", "Vitis HLS Report for 'NAME'"),
    ("rpt", "vitis_2022.2", "19755", "~0", "whole number as LUT"),
    ("rpt", "vitis_2022.2", "19755", "-", "whole number as LUT"),
    ("rpt", "vitis_2022.2", "19755", "19756", "sum of the rows"),
    ("rpt", "vitis_2022.2", "|Available  ", "|Obtainable ", "Available"),
    ("rpt", "vitis_2022.2", " 5.00 ns", " 5.00 us", "ns if it has a unit"),
    ("cosim", "vitis_2022.2", "|      Pass|", "|      Fail|", "ended with 'Fail'"),
    ("cosim", "vitis_2022.2", "|      Pass|", "|        NA|", "one simulated language"),
    ("cosim", "vitis_2023.2", "|             44|", "|             84|", "average 84 is outside"),
    ("vsynth", "vitis_2022.2", "| CLB LUTs*", "| ALMs     ", "LUT"),
    ("vsynth", "vitis_2022.2", "Synthesized", "Routed", "design state Synthesized"),
    ("impl", "vitis_2022.2", "Routed", "Fully Placed", "design state Routed"),
    ("vsynth", "vitis_2022.2", "| 9811 |", "| 9812 |", "not the sum"),
    ("vsynth", "vitis_2022.2", "| 9811 |", "| <9811 |", "whole number as CLB LUTs"),
    ("vsynth", "vitis_2023.2", "| 19.5 |", "| 19.4 |", "whole number as Block RAM Tile"),
    ("vsynth", "vitis_2023.2", "| 19.5 |", "| 20.5 |", "Block RAM Tile"),
    ("vsynth", "vitis_2022.2", "3. ARITHMETIC\n-------------", "3. LOGIC\n--------", "ARITHMETIC or DSP"),
    ("impl_timing", "vitis_2022.2", "      1.284", "         NA", "no clock constraint"),
    ("impl_timing", "vitis_2022.2", "      1.284", "     -1.284", "failing endpoints"),
    ("impl_timing", "vitis_2022.2", "      1.284", "      1.285", "worst slacks"),
    ("impl_timing", "vitis_2022.2", " 5.000           200.000", " 6.000           200.000", "not 200.0 MHz"),
    ("impl_timing", "vitis_2022.2", "ap_clk  {", "gt_clk {0.000 1.000} 2.000 500.000\nap_clk  {", "one clock"),
    ("impl_timing", "vitis_2022.2", "Vivado v.", "Quartus ", "Tool Version"),
]


@pytest.mark.parametrize(("kind", "version", "old", "new", "message"), REFUSED)
def test_refuses_what_no_sound_report_holds(kind, version, old, new, message):
    text = read(version, PARSERS[kind][0])
    changed = text.replace(old, new, 1) if old in text else pytest.fail(f"{old!r} is not in the report")
    with pytest.raises(InputError, match=re.escape(message)):
        PARSERS[kind][1](changed)


@pytest.mark.parametrize(("version", "kind"), CASES)
def test_refuses_a_report_of_another_kind(version, kind):
    for other, (name, _) in PARSERS.items():
        same = {"vsynth", "impl"} >= {kind, other} or {"vsynth_timing", "impl_timing"} >= {kind, other}
        if other != kind and not same:
            assert parsed(kind, read(version, name)) is None, (kind, other)
    for text in ("", "\n", "hello", "<profile/>", "|||||", "+--+\n| |\n+--+\n", "\0" * 50):
        assert parsed(kind, text) is None, text


@pytest.mark.parametrize("kind", ["xml", "rpt"])
def test_refuses_another_top_or_part(kind):
    name, parse = PARSERS[kind]
    text = read("vitis_2022.2", name)
    assert parse(text, top="tagger", part="xcvu13p-flga2577-2-e")["LUT"] == 19755
    with pytest.raises(InputError, match="top function myproject, received 'tagger'"):
        parse(text, "report", top="myproject")
    with pytest.raises(InputError, match="part xcvu9p-flga2104-2-e, received 'xcvu13p"):
        parse(text, "report", part="xcvu9p-flga2104-2-e")


@pytest.mark.parametrize("version", VERSIONS)
def test_parts_are_known_in_all_spellings(version):
    part = reports.project_settings(FOLDER / version)["part"]
    for stage, name in (("vsynth", "vivado_synth"), ("impl", "vivado_impl")):
        reports.parse_utilization(read(version, f"{name}.rpt"), stage, top="tagger", part=part)
        reports.parse_timing(read(version, f"{name}_timing.rpt"), stage, top="tagger", part=part)
        with pytest.raises(InputError, match="part"):
            reports.parse_timing(read(version, f"{name}_timing.rpt"), stage, part="xcku115-flvb2104-2-i")


@pytest.fixture
def project(tmp_path):
    shutil.copytree(FOLDER / "vitis_2022.2", tmp_path / "project")
    return tmp_path / "project"


def test_missing_reports_are_left_out(project):
    (project / "vivado_impl.rpt").unlink()
    (project / "vivado_impl_timing.rpt").unlink()
    (project / f"{CSYNTH}.xml").unlink()
    costs = reports.read_reports(project)
    assert list(costs) == ["csynth", "cosim", "vsynth"]
    assert costs["csynth"]["LUT"] == 19755


def test_reports_of_two_runs_are_refused(project):
    file = project / f"{CSYNTH}.xml"
    file.write_text(file.read_text().replace("<LUT>19755<", "<LUT>19750<"))
    with pytest.raises(InputError, match=r"LUT is 19750, but 19755 in tagger_csynth\.rpt"):
        reports.read_reports(project)


@pytest.mark.parametrize("stage", ["csynth", "vsynth"])
def test_reports_of_another_clock_are_refused(project, stage):
    if stage == "vsynth":
        shutil.rmtree(project / "tagger_prj")
    file = project / "project.tcl"
    file.write_text(file.read_text().replace("set clock_period 5", "set clock_period 4"))
    with pytest.raises(InputError, match=rf"reports of {stage} are for a clock of 5 ns, project\.tcl has 4 ns"):
        reports.read_reports(project)


def test_a_file_that_is_no_text_is_refused(project):
    (project / "vivado_synth.rpt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"vivado_synth\.rpt: expected a text file"):
        reports.read_reports(project)


@pytest.mark.parametrize(("old", "new", "message"), [
    ('"tagger"', '"a;rm -rf"', "project_name"),
    ('"tagger"', '"7agger"', "expected a C name"),
    ('"vitis"', '"quartus"', "expected the backend vitis or vivado"),
    ("set part", "set port", "found no part"),
])
def test_a_project_that_hls4ml_did_not_write_is_refused(project, old, new, message):
    file = project / "project.tcl"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        reports.read_reports(project)


def test_a_folder_without_project_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"found no project\.tcl"):
        reports.read_reports(tmp_path)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CASES), st.floats(0, 1))
def test_a_report_cut_off_is_refused_or_gives_the_same(case, where):
    version, kind = case
    text = read(version, PARSERS[kind][0])
    assert parsed(kind, text[: int(where * len(text))]) in (None, parsed(kind, text))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CASES), st.data())
def test_a_report_that_lost_lines_is_refused_or_gives_the_same(case, data):
    version, kind = case
    text = read(version, PARSERS[kind][0])
    lines = text.splitlines(keepends=True)
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first, min(first + 12, len(lines))))
    found, whole = parsed(kind, "".join(lines[:first] + lines[last:])), parsed(kind, text)
    # A row that older versions do not write may be gone: then its figure is absent, never another one.
    assert found is None or found.items() <= whole.items()


def _checked(kind: str) -> set[str]:
    """Figures that stand more than once in a report, so that no single change goes unseen."""
    return {
        "rpt": {"LUT", "FF", "DSP", "BRAM_18K", "URAM"},
        "vsynth": {"LUT", "FF", "DSP", "BRAM_18K"},
        "impl": {"LUT", "FF", "DSP", "BRAM_18K"},
        "vsynth_timing": {"WNS", "clock_target_ns"},
        "impl_timing": {"WNS", "clock_target_ns"},
    }.get(kind, set())


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(CASES), st.data())
def test_one_changed_character_never_changes_a_checked_figure(case, data):
    version, kind = case
    text = read(version, PARSERS[kind][0])
    digits = [match.start() for match in re.finditer(r"[0-9|.\-~]", text)]
    place = data.draw(st.sampled_from(digits) if data.draw(st.booleans()) else st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from("0123456789-~|.? <>\nx"))
    found, whole = parsed(kind, text[:place] + character + text[place + 1 :]), parsed(kind, text)
    if found is not None:
        for name in _checked(kind) & set(found):
            if name == "DSP" and whole[name][1] == 0:  # no row below it where there are none
                continue
            tolerance = 0.002 if name.startswith("clock") else 0  # the frequency has three digits
            assert found[name] == pytest.approx(whole[name], abs=tolerance), (name, place)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VERSIONS), st.sampled_from(["xml", "rpt"]), st.data())
def test_the_two_csynth_reports_guard_each_other(tmp_path_factory, version, kind, data):
    folder = tmp_path_factory.getbasetemp() / "guard" / version
    if not folder.is_dir():
        shutil.copytree(FOLDER / version, folder)
    whole = values(reports.read_reports(FOLDER / version)["csynth"])
    name = PARSERS[kind][0]
    text = read(version, name)
    digits = [match.start() for match in re.finditer("[0-9]", text)]
    place = data.draw(st.sampled_from(digits))
    (folder / name).write_text(text[:place] + data.draw(st.sampled_from("0123456789")) + text[place + 1 :])
    try:
        found = values(reports.read_reports(folder)["csynth"])
    except InputError:
        return
    finally:
        (folder / name).write_text(text)
    assert found.keys() == whole.keys()
    for figure, value in found.items():
        assert value == pytest.approx(whole[figure], abs=0.011 if figure.startswith("clock") else 0), (figure, place)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CASES), st.data())
def test_garbage_between_the_lines_gives_no_traceback(case, data):
    version, kind = case
    text = read(version, PARSERS[kind][0])
    place = data.draw(st.integers(0, len(text)))
    parsed(kind, text[:place] + data.draw(st.text(max_size=30)) + text[place:])
