"""The report of one or several runs: one HTML file that needs nothing else.

`read` finds what is finished and reads its tables; `accuracy` and `questions` work out figures as pure
functions of tables; `charts_*` draw them; `story` gathers what is told, and `page` fills the templates with
it. The templates escape everything that comes from a model or a store.
"""
