"""May this fine-tune be shipped? One verdict, a line for each thing it can be wrong in.

In: what a run's folder holds (`evidence`). Out: gate.json (`verdict`) and its pages (`report`). All
but these three is pure.
"""
