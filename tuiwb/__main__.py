"""The `tuiwb` program: `tuiwb [DIR]` opens the workbench, `tuiwb COMMAND` does one thing."""

import sys


def main() -> None:
    """Run with this process's arguments and exit with a documented code."""
    from tuiwb.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
