"""Every generated document with what it has to say."""

from __future__ import annotations

from pathlib import Path

from tools import readme_table
from tools.docs import alarm_table, config_page, metrics_table, provider_pages, schema
from tools.docs.annotated import ROOT


def pages() -> dict[Path, str]:
    readme = readme_table.README
    providers = {ROOT / "docs" / "providers" / name: text for name, text in provider_pages.pages().items()}
    return {
        readme: readme_table.with_table(readme.read_text(encoding="utf-8")),
        ROOT / "docs" / "config.md": config_page.text(),
        ROOT / "config" / "agi-lookup.schema.json": schema.for_editors(),
        alarm_table.PAGE: alarm_table.text(),
        metrics_table.PAGE: metrics_table.text(),
        **providers,
    }
