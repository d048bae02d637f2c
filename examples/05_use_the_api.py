"""Use a running page (`python app.py`) from a program.

    python examples/05_use_the_api.py http://127.0.0.1:7860 "a red house in the snow"

The page is an MCP server as well, at `/gradio_api/mcp/`, with the same endpoints as tools.
"""

import argparse
import shutil
from pathlib import Path

from gradio_client import Client


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("page", help="its address")
    parser.add_argument("prompt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--output", type=Path, default=Path("."))
    args = parser.parse_args()

    client = Client(args.page, verbose=False)
    unknown = client.predict(args.prompt, api_name="/unknown_words")
    if unknown:
        print(f"new to the small model: {', '.join(unknown)}")

    # A job tells its progress; job.cancel() stops the run, also while it waits in line.
    job = client.submit(
        args.prompt, seed=args.seed, num_inference_steps=args.steps, api_name="/generate"
    )
    for update in job:
        print(f"step {update['step']} of {update['num_inference_steps']}")
    scene = job.result()["scene"]

    args.output.mkdir(parents=True, exist_ok=True)
    small = client.predict(scene["name"], file_name="scene.spz", api_name="/download")
    for path in (scene["ply"], scene["cameras"], small):
        print(shutil.copy(path, args.output))


if __name__ == "__main__":
    main()
