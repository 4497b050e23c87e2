"""The command line: what a user types, each command a few lines over the module that does it.

A command imports what it needs when it is called, since torch and matplotlib take seconds that
``list``, ``cite`` and ``--help`` do without.
"""

import inspect
import re
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from odeclaims import __version__
from odeclaims.cli import draw, measure, read, reproduce, show, trained
from odeclaims.record.files import CorruptFile
from odeclaims.terminal import console, error_sentence

app = typer.Typer(
    help="Measure the claims of the Neural ODE papers, judge them, and draw the papers' figures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # As wide as the terminal, up to this.
    context_settings={"max_content_width": 120},
)


@app.callback(invoke_without_command=True)
def version(
    wanted: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)
    ] = False,
) -> None:
    """Print the version where it is asked for."""
    if wanted:
        console.print(f"odeclaims {__version__}")
        raise typer.Exit


def _first_sentence(command: Callable[..., None]) -> str:
    """What --help says of a command in the list of all; typer would cut it at 80 columns."""
    paragraph = " ".join((inspect.getdoc(command) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\.) ", paragraph)[0].removesuffix(".")


# In the order in which --help lists them.
app.command("list", short_help=_first_sentence(read.list_claims))(read.list_claims)
for command in (
    show.show,
    reproduce.reproduce,
    measure.run,
    draw.figures,
    draw.tables,
    draw.report,
    draw.redraw,
    read.check,
    read.register,
    read.cite,
    read.export,
    read.verify,
    read.compare,
    measure.conform,
    trained.train,
    trained.trained,
    trained.publish,
):
    app.command(short_help=_first_sentence(command))(command)


def main() -> None:
    """Run the command line; what a user can mend is one sentence and exit code 2."""
    try:
        app()
    except (CorruptFile, ValueError, OSError) as error:
        sys.stderr.write(f"odeclaims: {error_sentence(error)}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        # Before a command began or after it ended.
        sys.stderr.write("odeclaims: stopped\n")
        sys.exit(130)
