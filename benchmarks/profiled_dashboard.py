"""The dashboard as `coflux attach` has it, with a profile of its main thread.

python benchmarks/profiled_dashboard.py FILE    (in a project's directory; `pstats` reads the file)
"""

import cProfile
import os
import sys
import time

from coflux.project import find_project
from coflux.tui.start import show

profile = cProfile.Profile(time.thread_time)  # not the time in which others run
profile.enable()
try:
    show(find_project(os.getcwd()), (), (), unicode=True)
finally:
    profile.disable()
    profile.dump_stats(sys.argv[1])
