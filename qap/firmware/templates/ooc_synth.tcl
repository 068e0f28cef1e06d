# Out-of-context synthesis of the Verilog that csynth wrote, with the project's clock.
# hls4ml's vivado_synth.tcl has neither clock nor out-of-context mode: no timing, and an I/O buffer per port.
# Leaves vivado_synth.rpt, vivado_synth_timing.rpt, vivado_synth.dcp. Run in the project's folder.
source project.tcl

set clock [open ooc_clock.xdc w]
puts $clock "create_clock -name ap_clk -period $clock_period \[get_ports ap_clk\]"
close $clock

add_files [file join ${project_name}_prj solution1 syn verilog]
read_xdc -mode out_of_context ooc_clock.xdc
synth_design -mode out_of_context -top $project_name -part $part
opt_design -retarget -propconst -sweep -bram_power_opt -shift_register_opt
report_utilization -file vivado_synth.rpt
report_timing_summary -file vivado_synth_timing.rpt
write_checkpoint -force vivado_synth.dcp
