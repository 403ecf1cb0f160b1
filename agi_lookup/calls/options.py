"""What the config may say under `calls`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class NumbersKept(StrEnum):
    """How much of a number, and of who called it, stays readable. All ways keep a keyed hash, by which a number is forgotten."""

    MASKED = "masked"  # all but the last four digits: what rates and most rules go by
    HASHED = "hashed"  # nothing: such calls are counted, and cannot be replayed
    FULL = "full"


class CallLogOptions(BaseModel):
    """The log of calls and lookups, `calls.sqlite` in the state folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=False, description="a row on disk for each call and each lookup; without it, nothing is written"
    )
    numbers: NumbersKept = Field(
        default=NumbersKept.MASKED, description="how much of a number, and of its caller, stays readable"
    )
    keep_days: float = Field(default=30, gt=0, le=3650, description="rows that are older go")
    max_rows: int = Field(
        default=1_000_000, ge=1000, le=100_000_000, description="calls; as many results and lookups; 0.7 GB a million"
    )
