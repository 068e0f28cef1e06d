"""Files of events: ROOT, HDF5, Parquet, NumPy and text behind one interface."""
