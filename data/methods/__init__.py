"""Settings of methods that were published since R-Zero (docs/methods.md)."""
