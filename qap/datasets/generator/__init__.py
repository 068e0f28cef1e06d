"""Make data on this machine: Pythia 8 events, a detector model, FastJet jets, the observables of the field."""
