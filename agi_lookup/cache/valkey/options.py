"""Where the shared cache is, and what a call gives it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from agi_lookup.cache.valkey.address import FORM, address_of


class SharedOptions(BaseModel):
    """A Valkey, or Redis from 5 on: one server, a primary that sentinels name, or a cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: SecretStr = Field(description=FORM)
    timeout_ms: float = Field(default=20, ge=1, le=10_000, description="what a call gives it of its deadline")
    prefix: str = Field(
        default="agi-lookup",
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="of its keys; instances that share have one",
    )
    ca_file: Path | None = Field(
        default=None, description="who may sign the server's certificate; default: the system's"
    )
    cert_file: Path | None = Field(default=None, description="our certificate, where the server asks for one")
    key_file: Path | None = Field(default=None, description="of our certificate")

    @field_validator("url")
    @classmethod
    def _url_is_understood(cls, url: SecretStr) -> SecretStr:
        try:
            address_of(url.get_secret_value())
        except ValueError:  # its text quotes what may be the password
            raise ValueError(FORM) from None
        return url
