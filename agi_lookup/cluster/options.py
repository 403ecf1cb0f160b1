"""Who else there is, and what an instance may do while it cannot hear of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from agi_lookup.cache.valkey.options import SharedOptions


class ClusterOptions(BaseModel):
    """Instances that share a Valkey share flights, budgets, vendors' limits and what calls have taught."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    server: SharedOptions | None = Field(default=None, description="another than that of cache.shared")
    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="of this instance, and of no other; default: the host's name and the FastAGI port",
    )
    instances: int = Field(default=1, ge=1, le=1000, description="how many there are at least, seen or not")
    alone_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="of what nobody had taken, what an instance may use while the server is gone; default: 1/instances",
    )

    def share(self, seen: int) -> float:
        """What an instance may use alone. `seen`: instances that were there, with itself."""
        return self.alone_share if self.alone_share is not None else 1 / max(self.instances, seen)
