"""Float topologies and the QKeras builders that give them precision."""
