"""The ``ferricorn`` command and ``python -m ferricorn``."""

import sys


def main() -> int:
    """Run the command line in ``sys.argv``; returns the exit code."""
    from ferricorn import _ferricorn

    return _ferricorn.main(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
