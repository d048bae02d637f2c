"""Scenes made earlier, which open without sampling."""

import html
import json
from dataclasses import dataclass
from pathlib import Path

from videorfsplat.ui.page_files import file_url
from videorfsplat.ui.scene_folder import middle_frame

ON_LOAD = """
element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-scene]');
    // A run would go on under the fields of another scene.
    const isBusy = document.querySelector('#status [data-state=busy]');
    if (button && !isBusy) trigger('pick', { name: button.dataset.scene });
});
"""
"""Script of the component: a click tells the page the folder's name."""


@dataclass(frozen=True)
class ExampleScene:
    """A scene folder and the sentence it was made from."""

    folder: Path
    prompt: str

    @property
    def picture(self) -> Path:
        """The frame of the camera at which it opens."""
        return middle_frame(self.folder)

    @property
    def poster(self) -> str:
        """The picture's address."""
        return file_url(self.picture)


def find_example_scenes(root: Path) -> list[ExampleScene]:
    """The scene folders in `root`, by name; none if there is no such folder.

    Raises:
        ValueError: naming a folder whose scene.json is not that of a generated scene.
    """
    scenes = []
    for path in sorted(root.glob("*/scene.json")):
        try:
            prompt = json.loads(path.read_bytes())["record"]["settings"]["prompt"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not the record of a generated scene ({error})") from error
        scenes.append(ExampleScene(path.parent, prompt))
    return scenes


def example_scenes_gallery(scenes: list[ExampleScene]) -> str:
    """The scenes as buttons with a frame of each."""
    items = "".join(
        f'<li><button type="button" data-scene="{html.escape(scene.folder.name)}">'
        f'<img src="{file_url(scene.picture)}" alt=""/>'
        f"<span>{html.escape(scene.prompt)}</span></button></li>"
        for scene in scenes
    )
    return (
        f'<h2>Made earlier</h2><ul class="scene-cards example-scenes">{items}</ul>'
        if scenes
        else ""
    )
