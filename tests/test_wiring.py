"""What a config makes of providers, in the server and in a process that only asks once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from agi_lookup import config as configuration
from agi_lookup import wiring
from agi_lookup.cache.sqlite import Mode
from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import Facet, LookupQuery, Number, NumberType, Tri
from agi_lookup.metrics import Metrics
from agi_lookup.sim.vendors import Simulator, print_config, serve

NUMBER = Number("+33639980100", "FR", NumberType.MOBILE, Tri.YES)


def write(folder: Path, simulator: Simulator, *names: str) -> Path:
    blocks = yaml.safe_load(print_config(simulator.url))["providers"]
    path = folder / "agi-lookup.yaml"
    document = {
        "state_dir": str(folder / "state"),
        "providers": {name: blocks[name] for name in names},
        "profiles": {"default": {"dial_plan": {"country": "FR"}}},
    }
    path.write_text(yaml.safe_dump(document))
    return path


async def test_a_process_that_hears_no_webhooks_pays_no_vendor_that_answers_by_webhook(tmp_path: Path) -> None:
    """Nobody would hear the answer that was paid for."""
    async with serve(Simulator()) as simulator:
        config = configuration.read(write(tmp_path, simulator, "smspartner"))
        core = await wiring.open_core(config, Metrics(), Mode.TOOL)
        generation = wiring.build(config, core)
        await generation.open_purse(core)
        resolver = generation.kit.profiles["default"].resolver
        deadline = asyncio.get_running_loop().time() + 5.0
        outcome = await resolver.resolve(LookupQuery(NUMBER, frozenset(Facet)), deadline=deadline)
        await generation.close()
        await core.close(1.0)

    assert [attempt.result for attempt in outcome.attempts] == ["unavailable"]
    assert simulator.bill.accounts["smspartner"].requests == 0


async def test_what_a_vendor_was_found_to_allow_outlives_a_reload_that_leaves_it_alone(tmp_path: Path) -> None:
    """P11: a refused key is not tried again by every reload, but by one that changes it."""
    async with serve(Simulator()) as simulator:
        path = write(tmp_path, simulator, "npl", "hlrlookup")
        config = configuration.read(path)
        core = await wiring.open_core(config, Metrics(), Mode.SERVER)
        first = wiring.build(config, core)
        lines = {name: line for name, (_, line) in core.lines.items()}
        again = wiring.build(configuration.read(path), core)
        assert {name: line for name, (_, line) in core.lines.items()} == lines
        path.write_text(path.read_text().replace("sim-pass", "other-pass"))
        changed = wiring.build(configuration.read(path), core)
        kept = {name: core.lines[name][1] is line for name, line in lines.items()}
        for generation in (first, again, changed):
            await generation.close()
        await core.close(1.0)

    assert kept == {"npl": False, "hlrlookup": True}


async def test_a_reload_that_fails_changes_no_budget_and_leaves_nothing_open(tmp_path: Path) -> None:
    """A1: what the log calls the old config is the old one, caps included."""
    async with serve(Simulator()) as simulator:
        path = write(tmp_path, simulator, "npl", "hlrlookup")
        document = yaml.safe_load(path.read_text())
        document["budget"] = {"providers": {"npl": {"per_day": {"credits": "2"}}}}
        path.write_text(yaml.safe_dump(document))
        config = configuration.read(path)
        core = await wiring.open_core(config, Metrics(), Mode.SERVER)
        generation = wiring.build(config, core)
        await generation.open_purse(core)
        bad = tmp_path / "bad.pem"
        bad.write_text("no certificate")
        document["budget"] = {"providers": {"npl": {"per_day": {"credits": "1000"}}}}
        document["providers"]["hlrlookup"]["ca_file"] = str(bad)
        path.write_text(yaml.safe_dump(document))
        with pytest.raises(ConfigError):
            wiring.build(configuration.read(path), core)
        [cap] = core.purse.standing(time.time())
        await core.flights.drain(5.0)
        await generation.close()
        await core.close(1.0)

    assert cap.cap == 2


async def test_a_cap_in_a_currency_that_the_provider_is_not_paid_in_is_refused(tmp_path: Path) -> None:
    async with serve(Simulator()) as simulator:
        path = write(tmp_path, simulator, "npl")
        document = yaml.safe_load(path.read_text())
        document["budget"] = {"providers": {"npl": {"per_day": {"USD": "2"}}}}
        path.write_text(yaml.safe_dump(document))
        config = configuration.read(path)
        core = await wiring.open_core(config, Metrics(), Mode.TOOL)
        with pytest.raises(ConfigError, match=r"budget\.providers\.npl: the provider is paid in credits"):
            wiring.build(config, core)
        await core.close(1.0)


async def test_for_a_number_that_is_not_paid_for_the_free_sources_are_asked_alone(tmp_path: Path) -> None:
    async with serve(Simulator()) as simulator:
        path = write(tmp_path, simulator, "npl")
        document = yaml.safe_load(path.read_text())
        document["providers"]["table"] = {"kind": "ported_numbers", "table": str(tmp_path / "none.sqlite")}
        path.write_text(yaml.safe_dump(document))
        config = configuration.read(path)
        core = await wiring.open_core(config, Metrics(), Mode.TOOL)
        generation = wiring.build(config, core)
        resolver = generation.kit.profiles["default"].resolver
        number = replace(NUMBER, valid=Tri.NO)
        deadline = asyncio.get_running_loop().time() + 5.0
        outcome = await resolver.resolve(LookupQuery(number, frozenset(Facet)), deadline=deadline)
        await generation.close()
        await core.close(1.0)

    assert [(attempt.provider, attempt.result) for attempt in outcome.attempts] == [("table", "unavailable")]
