"""python -m lowpix: list the commands. `lowpix COMMAND …` runs one."""

import runpy
import signal
import sys

COMMANDS = {
    "annotate": "label photographs by single keys, on a page in the browser",
    "image_study": "how few labelled pixels does each image need?",
    "dataset_study": "does a network trained on pseudo-labels reach one trained on full annotation?",
    "active_study": "how few pixels does one network for a data set need, if it asks for them?",
    "order_study": "does the order in which pixels were revealed matter?",
    "compare": "which setting of an image study needs fewer pixels? Paired differences with intervals",
    "predict": "label photographs with a network that a data-set study has trained",
    "doctor": "which faults does a data set have?",
}


def main() -> None:
    """Run the command that the first argument names, or list all commands."""
    name = sys.argv[1].replace("-", "_") if len(sys.argv) > 1 else ""
    if name in COMMANDS:
        del sys.argv[1]
        runpy.run_module(f"lowpix.{name}", run_name="__main__", alter_sys=True)
        return
    width = max(map(len, COMMANDS))
    lines = [f"  {command:<{width}}  {about}" for command, about in COMMANDS.items()]
    usage = "\n".join(["usage: lowpix COMMAND [--help] …", "", *lines])
    if name in ("", "__help", "_h"):
        if hasattr(signal, "SIGPIPE"):  # a reader such as `head` may close the pipe early
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        print(usage)
        return
    print(f"error: {sys.argv[1]}: no such command\n{usage}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
