# Place and route of the netlist that ooc_synth.tcl left, out of context.
# Leaves vivado_impl.rpt, vivado_impl_timing.rpt, vivado_impl.dcp. Run in the project's folder.
source project.tcl

open_checkpoint vivado_synth.dcp
opt_design
place_design
phys_opt_design
route_design
report_utilization -file vivado_impl.rpt
report_timing_summary -file vivado_impl_timing.rpt
write_checkpoint -force vivado_impl.dcp
