"""One way to say what does not hold."""


def require(holds: object, who: str, wrong: str, mend: str) -> None:
    """Nothing if it holds.

    Raises:
        AssertionError: naming whose fault it is, what is wrong and the mend.
    """
    if not bool(holds):
        raise AssertionError(f"{who}: {wrong}. {mend}.")
