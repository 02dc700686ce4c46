"""python -m lowpix.image_study: one small network per image; pixels are revealed until it reaches the target."""

from lowpix.command import run
from lowpix.image_study.options import Options


def command(options: Options) -> None:
    """Run the study, and print its results."""
    from lowpix.image_study.study import image_study
    from lowpix.study.overview import overview
    from lowpix.study.text import as_text

    study = image_study(options)
    print(as_text(overview(study.tables().summary)))
    print(f"tables and pictures: {study.folder}")


if __name__ == "__main__":
    run(Options, "python -m lowpix.image_study", command)
