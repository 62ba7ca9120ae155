"""Why a change cannot be made to a model."""


class CannotApply(ValueError):
    """A change that this model cannot take: which change, where, and why."""

    def __init__(self, change: str, why: str, where: str = "") -> None:
        self.change, self.where, self.why = change, where, why
        place = f" at {where}" if where else ""
        super().__init__(f"cannot apply {change}{place}: {why}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return (CannotApply, (self.change, self.why, self.where))
