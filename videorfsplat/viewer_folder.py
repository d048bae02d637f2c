"""Where the built splat viewer is."""

from pathlib import Path

VIEWER_FOLDER = Path(__file__).resolve().parents[1] / "viewer" / "dist"
"""`index.html`, `viewer.js`, `viewer.css` and `protocol.schema.json`."""
