"""Every benchmark that needs no log of its own, one after the other; `make bench`.

    python -m benchmarks.run [--quick]

Exit code 1 if a bound is missed. `benchmarks.quality DIR` needs real logs and is run by itself.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

__all__ = ["main"]


def main() -> int:
    """Run them all, each in a process of its own, and say which missed a bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a measurement")
    quick = parser.parse_args().quick
    broker = "apache" if shutil.which("java") and shutil.which("mvn") else "embedded"
    commands = [
        ["learner"],
        ["scoring", *(["--rounds", "20"] if quick else [])],
        ["drift", *(["--seeds", "2"] if quick else [])],
        ["leavers", *(["--seeds", "1", "--events", "20000"] if quick else [])],
        ["memory", "--customers", "200" if quick else "2000"],
        ["live", "--broker", broker, *(["--events", "5000", "--rounds", "1", "--seconds", "5"] if quick else [])],
    ]
    missed = []
    for name, *options in commands:
        print(f"--- python -m benchmarks.{' '.join([name, *options])}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode:
            missed.append(name)
    print(f"bench: missed {', '.join(missed)}" if missed else "bench: every bound is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
