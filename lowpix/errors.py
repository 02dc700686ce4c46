"""The one exception that tells a user what to mend."""


class InputError(ValueError):
    """A fault in what the user gave: a file, an option, an answer.

    Its message is one line that names the file or option, the value and the rule; commands print it and exit
    with code 2.
    """
