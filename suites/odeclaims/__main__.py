"""The command ``odeclaims``, which is also ``python -m odeclaims``."""

import sys


def main() -> None:
    """Run the command line; a package that is missing is one sentence and exit code 2.

    A plain install brings what the solver needs, and the extra ``suite`` what the commands need.
    """
    try:
        from odeclaims import cli

        cli.main()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "odeclaims", "neural_ode"):
            raise
        sys.stderr.write(
            f"odeclaims: this command needs the package {missing}; the extra `suite` of"
            " odeclaims brings what all commands need\n"
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
