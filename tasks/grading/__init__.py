"""Grades of the evaluation, their figures, and the judge."""
