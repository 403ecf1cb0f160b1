"""Write all generated documents: `python -m tools.docs`."""

from __future__ import annotations

from tools.docs.pages import pages

for path, text in pages().items():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
