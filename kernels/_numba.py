"""What the compiled kernels share."""

import os
import threading

# Numba's fallback threading layer, workqueue, ends the process when two threads enter parallel code at once; and two
# that do would only share the same cores. A child forked meanwhile must not inherit a lock that nobody will release.
one_at_a_time = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=one_at_a_time.acquire, after_in_parent=one_at_a_time.release, after_in_child=one_at_a_time.release)
