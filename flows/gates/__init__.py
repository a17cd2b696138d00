"""Gates: a run watches itself."""
