# The commands of Vitis HLS and Vivado that the flow's scripts call, as stand-ins: each notes its call in calls.log and
# leaves the files that the real one leaves, reports copied from $env(REPORTS). Run by tclsh: hls.tcl SCRIPT ARGUMENTS.
proc note {args} {
    set file [open calls.log a]
    puts $file $args
    close $file
}
proc leave {file {text ""}} {
    file mkdir [file dirname $file]
    set source [file join $::env(REPORTS) $file]
    if {[file exists $source]} { set from [open $source]; set text [read $from]; close $from }
    set to [open $file w]
    puts -nonewline $to $text
    close $to
}
foreach command {
    open_project set_top add_files open_solution config_array_partition config_compile set_part config_schedule
    create_clock set_clock_uncertainty read_xdc synth_design opt_design open_checkpoint place_design phys_opt_design
    route_design
} { proc $command args "note $command {*}\$args" }
set solution tagger_prj/solution1
proc csim_design {} {
    note csim_design
    leave tb_data/csim_results.log "1 2 3\n"
    leave $::solution/csim/report/tagger_csim.log "CSim done with 0 errors."
}
proc csynth_design {} {
    note csynth_design
    foreach kind {xml rpt} { leave $::solution/syn/report/tagger_csynth.$kind }
    leave $::solution/syn/verilog/tagger.v "module tagger(input ap_clk); endmodule\n"
}
proc cosim_design args {
    note cosim_design {*}$args
    leave $::solution/sim/verilog/tagger.tcl "log_wave -r /\nquit\n"
    leave $::solution/sim/verilog/run_sim.tcl {
        cd ../../../..
        leave tb_data/rtl_cosim_results.log $::env(RTL)
        leave $::solution/sim/report/tagger_cosim.rpt
    }
}
proc export_design args { note export_design {*}$args; leave $::solution/impl/ip/component.xml "<component/>" }
proc report_utilization {option file} { note report_utilization $file; leave $file }
proc report_timing_summary {option file} { note report_timing_summary $file; leave $file }
proc write_checkpoint args { note write_checkpoint {*}$args; leave [lindex $args end] "dcp" }
set script [lindex $argv 0]
set argv [lrange $argv 1 end]
# A sourced script asks for its own name; tclsh would answer with the one that it was started with.
rename info tcl_info
proc info args {
    if {$args eq "script"} { return $::script }
    uplevel 1 [list tcl_info {*}$args]
}
source $script
