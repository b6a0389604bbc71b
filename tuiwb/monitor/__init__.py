"""Watching: hardware telemetry, metric series, the chart's pure core.

In: a process id, a job's events. Out: `Device` samples, series of numbers, grids of characters.
"""
