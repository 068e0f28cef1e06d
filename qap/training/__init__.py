"""The engines that train what a plan describes."""
