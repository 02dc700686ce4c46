"""python -m lowpix.dataset_study: train one network on pseudo-labels, and compare it with full annotation."""

from lowpix.command import run
from lowpix.dataset_study.options import Options


def command(options: Options) -> None:
    """Run the study, and print its results."""
    from lowpix.dataset_study.study import dataset_study
    from lowpix.dataset_study.tables import dataset_overview
    from lowpix.study.text import as_text

    study = dataset_study(options)
    print(as_text(dataset_overview(study.tables())))
    print(f"tables and pictures: {study.folder}")


if __name__ == "__main__":
    run(Options, "python -m lowpix.dataset_study", command)
