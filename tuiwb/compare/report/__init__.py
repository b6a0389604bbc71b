"""A comparison's report: what it says (`page`), and that as Markdown and HTML.

In: figures, preferences and a few answers. Out: text; `html.write_report` alone writes files. The
words and numbers of the tables (`figure_text`) are those of screen and command line too.
"""
