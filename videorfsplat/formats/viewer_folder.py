"""Where the built splat viewer is: package data, which `npm run build` in `viewer/` writes."""

from pathlib import Path

VIEWER_FOLDER = Path(__file__).resolve().parents[1] / "ui" / "viewer"
"""`index.html`, `viewer.js`, `viewer.css`, `protocol.schema.json` and `LICENSES.txt`."""
