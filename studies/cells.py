"""How a cell of a table is written."""


def signed(value: float, low: float, high: float, digits: int) -> str:
    """A difference with its interval, bold if that excludes zero."""
    text = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]".replace("-", "−")
    return f"**{text}**" if low > 0 or high < 0 else text
