"""The most memory that a command and all processes it starts take together, as Linux accounts for it.

    python bench/peak_memory.py python examples/hundred_million.py

Ten times a second, over all processes: the proportional set size (Pss, in which a page that processes share counts once), and
the part of it that is no page of a file. Pages of files are the cache of the system, which takes them back when it needs memory.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil


def taken(process):
    """Return Pss, and Pss without pages of files, in bytes, of a process; 0 if it has gone."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    kib = dict(re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE))
    whole, files = int(kib.get("Pss", 0)), int(kib.get("Pss_File", 0))
    return whole * 1024, (whole - files) * 1024


def main():
    """Run the command, and print the peaks."""
    command = subprocess.Popen(sys.argv[1:])
    top, peaks, most = psutil.Process(command.pid), (0, 0), 0
    while command.poll() is None:
        try:
            processes = [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        now = [sum(column) for column in zip(*map(taken, processes), strict=True)]
        peaks, most = tuple(map(max, peaks, now)), max(most, len(processes))
        time.sleep(0.1)
    print(f"at most {peaks[1] / 1e9:.2f} GB, {peaks[0] / 1e9:.2f} GB with pages of files, in at most {most} processes")
    sys.exit(command.wait())


if __name__ == "__main__":
    main()
