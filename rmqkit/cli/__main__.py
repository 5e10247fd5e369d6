"""``python -m rmqkit.cli``."""

from __future__ import annotations

import sys

from rmqkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
