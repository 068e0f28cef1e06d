"""The study file: typed sections, overrides ``key=value``, errors that name key, value and expectation."""
