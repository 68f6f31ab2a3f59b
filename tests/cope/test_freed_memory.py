"""Memory that a step frees stays with the process."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from cope.freed_memory import keep_freed_memory

if "keep" in sys.argv:
    keep_freed_memory()

def step():
    made = [np.ones(2**20, np.float32) for _ in range(16)]  # 4 MiB each

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another C library than glibc")
def test_no_page_is_mapped_again_in_the_next_step():
    plain, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, mode], check=True, capture_output=True, text=True).stdout)
        for mode in ("plain", "keep")
    )
    assert kept < 200 < plain
