"""What a server serves over HTTP, inside the test's own loop: real config, core, providers and listeners, ports of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agi_lookup import config as configuration
from agi_lookup import wiring
from agi_lookup.cache.sqlite import Mode
from agi_lookup.config import Config
from agi_lookup.metrics import Metrics
from agi_lookup.web.app import Web

SECRET = "s3cret-of-the-webhook"


def block(**changes: Any) -> dict[str, Any]:
    """An SMS Partner account."""
    return {
        "kind": "smspartner",
        "api_key": "k3y",
        "base_url": "http://127.0.0.1:9",
        "allow_private": True,
        "public_url": "http://127.0.0.1:9",
        "webhook_secret": SECRET,
        **changes,
    }


def read_config(folder: Path, **sections: Any) -> Config:
    """Without a cache on disk, with `sms` as the one provider, on ports that the system chooses."""
    data = {
        "state_dir": str(folder / "state"),
        "http": {"port": 0},
        "cache": {"disk": False},
        "providers": {"sms": block()},
        "profiles": {"default": {"dial_plan": {"country": "FR"}}},
        **sections,
    }
    path = folder / "agi-lookup.yaml"
    path.write_text(yaml.safe_dump(data))
    return configuration.read(path)


@dataclass
class Served:
    """`agi_lookup.web.app.Serving`, and where it listens."""

    core: wiring.Core
    generation: wiring.Generation
    server: Any = None
    ready: bool = True
    http: str = ""
    hooks: str = ""

    def url(self, name: str = "sms", secret: str = SECRET) -> str:
        return f"{self.hooks}/hooks/{name}/{secret}"

    def events(self) -> dict[str, int]:
        """What webhooks were counted as."""
        samples = next(metric for metric in self.core.metrics.registry.collect() if metric.name == "agi_lookup_events")
        return {
            s.labels["event"]: int(s.value)
            for s in samples.samples
            if s.name.endswith("_total") and s.labels["event"].startswith("hook_")
        }

    async def reload(self, config: Config) -> None:
        old, self.generation = self.generation, wiring.build(config, self.core)
        await old.close()


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Served]:
    core = await wiring.open_core(config, Metrics(), Mode.SERVER)
    served = Served(core, wiring.build(config, core))
    await served.generation.open_purse(core)
    web = Web(served)
    try:
        where = await web.start()
        served.http = f"http://{where.get('http', '')}"
        served.hooks = f"http://{where.get('hooks', where.get('http', ''))}"
        yield served
    finally:
        await web.stop()
        await served.generation.close()
        await core.close(0.0)
