"""From answers to figures: task metrics, figures of the answers themselves, slices.

In: answers of both sides with their references, as `scored.Asked`. Out: `measure.Figures`, paired.
Pure, but for `json_schema`, which reads a user's schema file.
"""
