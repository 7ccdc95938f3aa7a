"""The ``ferricorn`` command and ``python -m ferricorn``."""

import os
import sys


def main() -> int:
    """Run the command line in ``sys.argv``; returns the exit code."""
    from ferricorn import _ferricorn

    # python -m puts the working directory there; workers put the one of their time.
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    return _ferricorn.main(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
