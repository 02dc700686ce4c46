"""How many pixels each round asks for, and when asking ends."""

import re
from dataclasses import dataclass

from lowpix.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """First pixels, pixels per round, and the budget of a session.

    `per_round` is a number (`"1"`), a growth (`"5%"` of the pixels asked so far, at least one), or `"default"`:
    one until 100 pixels are asked, then 5 %.
    """

    first: int
    per_round: str
    budget: int
    keep_at: tuple[int, ...] = ()
    """Smaller budgets. A round ends exactly at each of them, and its pseudo-labels are kept."""

    def __post_init__(self) -> None:
        valid = re.fullmatch(r"default|[1-9]\d{0,17}|\d{0,9}\.?\d{1,9}%", self.per_round)
        if not valid or not self.per_round.strip("0.%"):
            raise InputError(
                f"--pixels-per-round {self.per_round}: must be a number from 1, a growth such as 5%, or default"
            )
        if not 1 <= self.first <= self.budget:
            raise InputError(f"--first-pixels {self.first}: must lie between 1 and --max-pixels ({self.budget})")

    def next(self, asked: int) -> int:
        """How many pixels to ask after `asked` pixels; 0 if the budget is spent."""
        if asked == 0:
            return self.first
        if self.per_round == "default":
            count = 1 if asked < 100 else asked // 20
        elif self.per_round.endswith("%"):
            count = max(1, int(asked * float(self.per_round[:-1]) / 100))
        else:
            count = int(self.per_round)
        ends = [end for end in self.keep_at if end > asked]
        return min([count, self.budget - asked, *(end - asked for end in ends)])

    def asked(self) -> list[int]:
        """The numbers of pixels asked by the end of each round, for a session that spends its budget."""
        asked = [self.first]
        while more := self.next(asked[-1]):
            asked.append(asked[-1] + more)
        return asked
