"""python -m lowpix.active_study: one network for the data set asks for the pixels that it learns from."""

from lowpix.active_study.options import Options
from lowpix.command import run


def command(options: Options) -> None:
    """Run the study, and print its results."""
    from lowpix.active_study.report import describe
    from lowpix.active_study.study import active_study

    study = active_study(options)
    print(describe(study.tables()))
    print(f"tables and pictures: {study.folder}")


if __name__ == "__main__":
    run(Options, "python -m lowpix.active_study", command)
