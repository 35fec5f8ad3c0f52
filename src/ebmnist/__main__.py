"""`python -m ebmnist`: the same as the command `ebmnist`."""

import sys

from ebmnist.cli import main

if __name__ == "__main__":
    sys.exit(main())
