"""How a command prints a table."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ebmnist.output import escaped
from ebmnist.reporting.report import Part

WIDEST = 100_000  # characters of a table's row where there is no terminal


def in_lines(part: Part) -> str:
    """Return a table in lines; without a terminal each row is one, however long."""
    table = Table(title=Text(part.title), caption=Text(part.words), title_justify="left")
    for column in part.columns:
        table.add_column(Text(escaped(column)))
    for row in part.rows:
        table.add_row(*(Text(escaped(cell)) for cell in row))
    console = Console() if Console().is_terminal else Console(width=WIDEST)
    with console.capture() as drawn:
        console.print(table)
    return drawn.get()
