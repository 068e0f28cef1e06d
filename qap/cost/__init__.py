"""What a model costs: one plain function for each source of cost."""
