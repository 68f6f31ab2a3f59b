"""Settings of all tests."""

from hypothesis import settings

# The same cases in every run, and no time limit on a case: the first one compiles.
settings.register_profile("rope", deadline=None, derandomize=True)
settings.load_profile("rope")
