"""The statistics of two sides on the same prompts: intervals, tests, agreement, power.

In: counts, or differences prompt by prompt. Out: intervals, p values, kappas. All pure functions;
nothing here knows what was measured.
"""
