"""Models written for other tools, each run by its own interpreter and compared with Keras or QKeras."""
