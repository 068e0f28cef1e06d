"""How good a model is: accuracy, AUC, errors by bootstrap."""
