"""`python main.py`: train the default recipe, draw its pictures, write its report. The same as `ebmnist run`."""

import sys

from ebmnist.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
