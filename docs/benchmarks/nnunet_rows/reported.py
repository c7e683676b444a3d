"""Report a measurement to the parent process, as the last line of the output."""

import json

from costs import Stopwatch

MARK = "measured: "


def report(watch: Stopwatch, note: str = "") -> None:
    """Print how long the work of a row took, and a remark on it."""
    found = {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds, "note": note}
    print(f"\n{MARK}{json.dumps(found)}", flush=True)
