"""From a QKeras model to a proven HLS project: convert, build the C-simulation, compare."""
