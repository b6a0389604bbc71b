"""For every test: the machine may be as slow and as busy as it likes."""

from hypothesis import HealthCheck, settings

# A deadline per example and a limit for making examples measure the machine, not the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
