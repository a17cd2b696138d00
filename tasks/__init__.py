"""The stages of an iteration, one file each, and the pure science beside them."""
