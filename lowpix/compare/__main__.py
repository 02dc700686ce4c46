"""python -m lowpix.compare: compare settings of image studies, image by image, with intervals."""

from lowpix.command import run
from lowpix.compare.options import Options


def command(options: Options) -> None:
    """Make and print the comparison."""
    from lowpix.compare.study import compare

    compare(options)


if __name__ == "__main__":
    run(Options, "python -m lowpix.compare", command)
