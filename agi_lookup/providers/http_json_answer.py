"""What a block says of a vendor's reply: where each fact stands, and what the vendor's words mean."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, Field, model_validator

from agi_lookup.domain.model import Method, NumberType, Reason, Tri
from agi_lookup.providers.http_json_paths import STRICT, Lowered, Path
from agi_lookup.providers.http_json_rules import Saying

IDENTITY_PATHS: Final = (
    "carrier", "mcc", "mnc", "mccmnc", "orig_carrier", "orig_mcc", "orig_mnc", "orig_mccmnc", "ported", "ported_date", "type",
    "country", "lrn", "ocn", "spid",
)  # fmt: skip
LIVENESS_PATHS: Final = ("reachable", "reason", "valid", "roaming", "gsm_error")

TriMap: TypeAlias = Annotated[dict[str, Tri], Lowered]


class Values(BaseModel):
    """What the vendor's words mean, by fact. A fact without a map is read as true/false, yes/no, y/n, 1/0, or as our own word."""

    model_config = STRICT

    reachable: TriMap | None = None
    valid: TriMap | None = None
    ported: TriMap | None = None
    roaming: TriMap | None = None
    reason: Annotated[dict[str, Reason], Lowered] | None = None
    type: Annotated[dict[str, NumberType], Lowered] | None = None


class Answer(BaseModel):
    """Where the facts stand. All paths start at `record`; where that is a list, at the item whose `number` is ours."""

    model_config = STRICT

    format: Literal["json", "pairs"] = Field(default="json", description="pairs: key=value;key=value")
    method: Literal[Method.HLR, Method.MNP, Method.LRN, Method.VALIDATE] = Field(
        default=Method.VALIDATE, description="how the vendor knows; only hlr can tell liveness"
    )
    record: Path | None = None
    number: Path | None = Field(default=None, description="the vendor's echo; an answer for another number is refused")
    number_as: Literal["international", "national"] = "international"

    carrier: Path | None = None
    mcc: Path | None = None
    mnc: Path | None = None
    mccmnc: Path | None = None
    orig_carrier: Path | None = None
    orig_mcc: Path | None = None
    orig_mnc: Path | None = None
    orig_mccmnc: Path | None = None
    ported: Path | None = None
    ported_date: Path | None = None
    type: Path | None = None
    country: Path | None = Field(default=None, description="ISO 3166-1 alpha-2")
    lrn: Path | None = None
    ocn: Path | None = None
    spid: Path | None = None

    reachable: Path | None = None
    reason: Path | None = None
    valid: Path | None = None
    roaming: Path | None = None
    gsm_error: Path | None = Field(default=None, description="MAP error number: tells reachable, reason and valid")
    live_when: Saying | None = Field(default=None, description="else the liveness is not believed")

    cost: Path | None = None
    balance: Path | None = None
    observed_at: Path | None = Field(default=None, description="ISO 8601 with an offset")
    code: Path | None = Field(default=None, description="the vendor's own status word, for the log")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        named = [path for path in LIVENESS_PATHS if getattr(self, path) is not None]
        if self.method is not Method.HLR and (named or self.live_when):
            raise ValueError(f"{(*named, 'live_when')[0]}: only `method: hlr` can tell; set it, or remove this")
        if self.method is Method.HLR and not (self.reachable or self.gsm_error):
            raise ValueError("`method: hlr` promises liveness: name reachable or gsm_error, or use another method")
        if self.gsm_error and (self.reachable or self.reason or self.valid):
            raise ValueError("gsm_error tells reachable, reason and valid by itself; remove those")
        if (self.mcc is None) != (self.mnc is None) or (self.orig_mcc is None) != (self.orig_mnc is None):
            raise ValueError("mcc and mnc belong together: name both or none (or mccmnc, where they come as one)")
        if not any(getattr(self, path) for path in (*IDENTITY_PATHS, *LIVENESS_PATHS)):
            raise ValueError("names no fact; add at least one, e.g. `carrier: data.network.name`")
        return self
