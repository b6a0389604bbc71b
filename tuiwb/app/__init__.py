"""The terminal program: Textual screens over the same functions the command line calls.

In: a project. Out: what a person sees and presses. It never imports torch or its family; every
job longer than a second runs detached and is followed through its folder.

A screen is a `WorkbenchScreen` in screens/, its style in a .tcss beside it, and a line in
`WorkbenchApp.MODES`. Widgets draw and post; screens own state; blocking work runs in thread
workers that post typed messages.
"""
