"""python -m lowpix.order_study: does the order in which pixels were revealed matter?"""

from lowpix.command import run
from lowpix.order_study.options import Options


def command(options: Options) -> None:
    """Run the study, and print its results."""
    from lowpix.order_study.report import describe
    from lowpix.order_study.study import SMALL_STUDY, folder_of, order_study

    table, pairs = order_study(options)
    print(describe(table, pairs, options))
    print(f"tables and pictures: {folder_of(options.image_study or SMALL_STUDY, options.out)}")


if __name__ == "__main__":
    run(Options, "python -m lowpix.order_study", command)
