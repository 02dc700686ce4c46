"""python -m lowpix.annotate: label photographs by single keys, on a page in the browser."""

from lowpix.annotate.options import Options
from lowpix.command import run


def command(options: Options) -> None:
    """Serve the page until Ctrl-C, then write the tables; or only export."""
    from lowpix.annotate.project import annotate

    annotate(options)


if __name__ == "__main__":
    run(Options, "python -m lowpix.annotate", command)
