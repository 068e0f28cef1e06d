#!/bin/sh
# One stage of the vendor flow on one hls4ml project (Vitis or Vivado backend).
#
#   flow.sh STAGE PROJECT      STAGE: csim csynth cosim export vsynth impl, or: check
#
# flow.sh ap_types PROJECT copies the ap_types of the hls4ml that $PYTHON (default python3) finds, where they are missing.
# Exit codes: 0 done, 1 the tool failed, 2 the project or the stage cannot be used, 3 a tool is missing.
# Messages of this script go to standard error; the tool's own output goes where it always goes.

LC_ALL=C # letters are A to Z in the patterns below
export LC_ALL

fail() {
    code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}

# Vitis, Vivado and their Tcl split names at spaces and expand $, [ and ; whatever the quoting on the way to them.
plain() {
    case $2 in
    '' | *[!A-Za-z0-9._/+@=,~-]* | -* | */-*)
        fail 2 "$1: expected a path of letters, digits and . _ / + @ = , ~ - only, received '$2': rename or move it" ;;
    esac
}

setting() { # the value of one setting of project.tcl
    sed -n "s/^[[:space:]]*set[[:space:]]\{1,\}$1[[:space:]]\{1,\}\"\{0,1\}\([^\"[:space:]]*\)\"\{0,1\}[[:space:]]*\$/\1/p" project.tcl
}

# Everything that a stage needs to know of the project; sets name, backend, part.
read_project() {
    plain PROJECT "$1"
    [ -d "$1" ] || fail 2 "PROJECT: expected the directory of an hls4ml project, '$1' is none"
    cd "$1" || fail 2 "PROJECT: cannot enter '$1'"
    plain "PROJECT's full path" "$(pwd -P)"
    [ -f project.tcl ] && [ -f build_prj.tcl ] && { [ -f build_opt.tcl ] || ! grep -q build_opt build_prj.tcl; } ||
        fail 2 "$1: expected an hls4ml project for Vitis or Vivado, found no project.tcl, build_prj.tcl, build_opt.tcl in it"
    name=$(setting project_name) backend=$(setting backend) part=$(setting part)
    case $name in
    '' | [0-9]* | *[!A-Za-z0-9_]*) fail 2 "$1/project.tcl: expected a C name as project_name, received '$name'" ;;
    esac
    case $part in
    '' | *[!A-Za-z0-9._-]*) fail 2 "$1/project.tcl: expected a part such as xcvu13p-flga2577-2-e, received '$part'" ;;
    esac
    case $backend in
    vitis | vivado) ;;
    *) fail 2 "$1/project.tcl: expected the backend vitis or vivado, received '$backend'" ;;
    esac
    if [ -f hls4ml_config.yml ]; then
        other=$(sed -n 's/^Backend:[[:space:]]*\([A-Za-z]*\).*/\1/p' hls4ml_config.yml | tr 'A-Z' 'a-z')
        [ -z "$other" ] || [ "$other" = "$backend" ] ||
            fail 2 "$1: project.tcl is for $backend, hls4ml_config.yml for $other: convert the model again"
    fi
    [ -f "firmware/$name.cpp" ] || fail 2 "$1: expected firmware/$name.cpp, found none: convert the model again"
}

have() { command -v "$1" >/dev/null 2>&1; }

missing() {
    fail 3 "$1 is not on PATH: install $2 and source its settings64.sh; the stage $stage was not run."
}

# Find the tool of a stage; sets tool.
find_tool() {
    case $stage:$backend in
    vsynth:* | impl:*) tool=vivado && have vivado || missing vivado "Vivado" ;;
    *:vivado) tool=vivado_hls && have vivado_hls || missing vivado_hls "Vivado HLS 2019.2 or 2020.1" ;;
    *)
        tool=vitis_hls
        have vitis_hls || tool=vitis-run
        have $tool || missing "vitis_hls (or vitis-run)" "Vitis HLS 2022.2 or later"
        ;;
    esac
}

# The script build_prj.tcl of hls4ml does csim, csynth, cosim and export; what it does stands in build_opt.tcl, or for
# Vivado in its argument.
hls() {
    options="reset=0"
    for option in csim synth cosim validation export vsynth fifo_opt; do
        value=0
        for wanted in "$@"; do [ "$option" = "$wanted" ] && value=1; done
        options="$options $option=$value"
    done
    if [ $tool = vivado_hls ]; then
        vivado_hls -f build_prj.tcl "$options"
        return
    fi
    # The project keeps the options that it came with, for who runs build_prj.tcl by hand.
    [ ! -f .build_opt.tcl.own ] || mv -f .build_opt.tcl.own build_opt.tcl # of a run that was killed
    cp build_opt.tcl .build_opt.tcl.own || fail 2 "cannot copy build_opt.tcl in $(pwd)"
    trap 'mv -f .build_opt.tcl.own build_opt.tcl' EXIT
    trap 'exit 130' INT TERM HUP
    {
        printf 'array set opt {\n'
        for option in $options; do printf '    %-10s %s\n' "${option%=*}" "${option#*=}"; done
        printf '}\n'
    } >.build_opt.tcl.new && mv .build_opt.tcl.new build_opt.tcl || fail 2 "cannot write build_opt.tcl in $(pwd)"
    if [ $tool = vitis_hls ]; then
        vitis_hls -f build_prj.tcl
    else
        vitis-run --mode hls --tcl build_prj.tcl
    fi
}

vivado_batch() {
    vivado -mode batch -nojournal -nolog -source "$scripts/$1"
}

after() { # a stage that has to be run before
    [ -e "$2" ] || fail 2 "$stage: expected $2 in the project, found none: run the stage $1 first"
}

[ $# -eq 2 ] || fail 2 "usage: flow.sh STAGE PROJECT"
stage=$1
case $0 in */*) scripts=${0%/*} ;; *) scripts=. ;; esac
scripts=$(cd "$scripts" && pwd -P) || fail 2 "cannot enter the folder of $0"
plain "the folder of flow.sh" "$scripts"
if [ "$stage" = ap_types ]; then # before the folder changes: PYTHON may be a relative path
    types=$("${PYTHON:-python3}" -c '
import importlib.util, pathlib
spec = importlib.util.find_spec("hls4ml")
print(pathlib.Path(spec.origin).parent / "templates/vivado/ap_types" if spec else "")') || types=
fi
read_project "$2"
solution=${name}_prj/solution1
mark=.flow.$stage
case $stage in
check) exit 0 ;;
ap_types)
    [ ! -d firmware/ap_types ] || exit 0
    [ -d "$types" ] || fail 3 "hls4ml is not installed for ${PYTHON:-python3}: set PYTHON to the Python that has it."
    cp -R "$types" firmware/ap_types || fail 2 "cannot write in $(pwd)/firmware"
    exit 0
    ;;
csim | csynth | cosim | export | vsynth | impl) find_tool ;;
*) fail 2 "stage: expected csim, csynth, cosim, export, vsynth, impl, check or ap_types, received '$stage'" ;;
esac
case $stage in
csim) result=$solution/csim/report/${name}_csim.log ;;
csynth) result=$solution/syn/report/${name}_csynth.xml ;;
cosim)
    after csim tb_data/csim_results.log
    after csynth "$solution/syn/report/${name}_csynth.xml"
    result=$solution/sim/report/${name}_cosim.rpt
    ;;
export)
    after csynth "$solution/syn/report/${name}_csynth.xml"
    result=$solution/impl/ip/component.xml
    ;;
vsynth)
    after csynth "$solution/syn/verilog"
    result=vivado_synth_timing.rpt
    ;;
impl)
    after vsynth vivado_synth.dcp
    result=vivado_impl_timing.rpt
    ;;
esac

: >"$mark" || fail 2 "cannot write in $(pwd)"
# The mark carries the time of the report that is there already: a quick tool may end within one tick of the clock.
earlier=
if [ -e "$result" ]; then
    earlier=yes
    touch -r "$result" "$mark" || fail 2 "cannot write in $(pwd)"
fi
case $stage in
csim) hls csim ;;
csynth) hls synth ;;
cosim) hls cosim validation ;;
export) hls export ;;
vsynth) vivado_batch ooc_synth.tcl ;;
impl) vivado_batch ooc_impl.tcl ;;
esac
code=$?
[ $code -eq 0 ] || fail 1 "$stage: the tool ended with exit code $code in $(pwd): see its messages above"
# A tool that ends well without its report, or with one of an earlier run, has not done the stage.
{ [ -e "$result" ] && { [ -z "$earlier" ] || [ -n "$(find "$result" -prune -newer "$mark")" ]; }; } ||
    fail 1 "$stage: the tool ended without writing $result in $(pwd)"
rm -f "$mark"
