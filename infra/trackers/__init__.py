"""Experiment trackers: each behind one small protocol, in a process of its own."""
