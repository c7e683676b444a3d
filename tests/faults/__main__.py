"""A long fault campaign: python -m tests.faults --minutes 30 --seed 0."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

if __name__ == "__main__":
    from faults.command import main

    sys.exit(main())
