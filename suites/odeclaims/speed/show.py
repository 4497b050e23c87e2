"""The speed suite's tables and figures as files, from its rows alone."""

import argparse
import sys
from pathlib import Path

from odeclaims.record.files import write_text
from odeclaims.report.style import save, style
from odeclaims.speed.cases import NO_GRADIENT
from odeclaims.speed.pictures import work_precision
from odeclaims.speed.ratios import compute_ratios, summarise
from odeclaims.speed.rows import FOLDER, read_rows, solver_rows
from odeclaims.speed.tables import ratios_markdown, summary_markdown


def write(folder: Path) -> list[Path]:
    """Write every table and figure into the folder of ``data.csv``; the paths."""
    df = read_rows(folder)
    texts = {
        "summary.csv": summarise(df).to_csv(index=False, lineterminator="\n"),
        "summary.md": summary_markdown(df),
        "ratios.csv": compute_ratios(df).to_csv(index=False, lineterminator="\n"),
        "ratios.md": ratios_markdown(df),
    }
    paths = []
    for name, text in texts.items():
        write_text(folder / name, text)
        paths.append(folder / name)
    with style():
        for name, differentiated in (("forward", False), ("gradient", True)):
            if ((solver_rows(df)["gradient"] != NO_GRADIENT) == differentiated).any():
                figure = work_precision(df, differentiated=differentiated)
                paths += save(figure, folder, name)
    return paths


def main() -> None:
    """Draw and tabulate again; an error that a user can repair is one sentence and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m odeclaims.speed",
        description="Draw and tabulate the speed suite's rows again.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where data.csv lies")
    try:
        for path in write(parser.parse_args().folder):
            print(f"wrote {path}")
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
