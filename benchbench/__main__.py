"""Entry point of `python -m benchbench`."""

from benchbench.cli import main

if __name__ == "__main__":
    main()
