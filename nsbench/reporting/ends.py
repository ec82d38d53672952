"""How the ends of intervals of changes are written."""


def end_text(value: float, sign: str = "") -> str:
    """`+1.0`, or `+0.04`: a verdict depends on which side of zero an end is."""
    decimals = 2 if 0 < abs(value) < 0.05 else 1
    return f"{value:{sign}z.{decimals}f}"


def ends_text(low: float, high: float, sign: str = "+") -> str:
    """`[+1.0, +3.6]`."""
    return f"[{end_text(low, sign)}, {end_text(high, sign)}]"
