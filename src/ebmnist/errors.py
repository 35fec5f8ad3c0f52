"""The one thing every room may import: what a person's bad input raises."""


class BadInput(ValueError):
    """Input a person can mend: its message is one line that names the thing and the mend.

    The command line prints the message alone and exits with code 2.
    """
