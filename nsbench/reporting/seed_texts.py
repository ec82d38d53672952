"""How metrics and changes over seeds are written, and what they are as JSON."""

from typing import Any

from nsbench.metrics.seeds import OVER, OverSeeds, SeedChange
from nsbench.reporting.ends import ends_text

ONE_SEED = (
    "One seed: intervals are over images alone, and leave out how much trainings vary with their "
    "seed; nsbench train --seeds measures it."
)
"""What a report says of a run that was trained once."""


def level_text(pooled: OverSeeds) -> str:
    """`96.1 ± 0.4 [94.7, 97.1]`; of one seed the value alone."""
    return "\n".join(filter(None, level_parts(pooled)))


def level_parts(pooled: OverSeeds) -> tuple[str, str]:
    """`96.1 ± 0.4` and `[94.7, 97.1]`; of one seed the value alone."""
    return f"{pooled.mean:z.1f}{_spread_text(pooled)}", interval_text(pooled, "")


def seed_change_text(change: SeedChange) -> str:
    """`+2.3 ± 0.4 [+1.0, +3.6]`; of one seed the value alone."""
    return "\n".join(filter(None, change_parts(change)))


def change_parts(change: SeedChange) -> tuple[str, str]:
    """`+2.3 ± 0.4` and `[+1.0, +3.6]`; of one seed the value alone."""
    return f"{change.mean:+z.1f}{_spread_text(change)}", interval_text(change, "+")


def _spread_text(pooled: OverSeeds) -> str:
    return "" if pooled.spread is None else f" ± {pooled.spread:.1f}"


def interval_text(pooled: OverSeeds, sign: str) -> str:
    """`[+1.0, +3.6]`, or without the signs; empty for one seed."""
    if pooled.interval is None:
        return ""
    return ends_text(*pooled.interval, sign)


def over_seeds_columns(pooled: OverSeeds) -> dict[str, Any]:
    """A metric or a change over seeds as columns of a CSV file; without ends for one seed."""
    low, high = pooled.interval or (None, None)
    return {
        "value": pooled.mean,
        "low": low,
        "high": high,
        "images": pooled.images,
        "interval_over": OVER if pooled.interval else None,
        "seeds": len(pooled.values),
        "spread": pooled.spread,
    }


def over_seeds_data(pooled: OverSeeds) -> dict[str, Any]:
    """A metric or a change over seeds as JSON; without an interval for one seed."""
    return {
        "value": pooled.mean,
        "spread": pooled.spread,
        "values": list(pooled.values),
        "interval": list(pooled.interval) if pooled.interval else None,
        "interval_over": OVER if pooled.interval else None,
        "seeds": len(pooled.values),
        "images": pooled.images,
    }
