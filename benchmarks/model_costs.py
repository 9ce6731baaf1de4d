"""What does each model cost beside DIN? python -m benchmarks.model_costs [MODEL ...] [--items N --width D --rounds R]

Prints the table of docs/models.md: parameters, and CPU time of a training step (forward, backward, Adam), each as a
ratio to `MultimodalDIN` on the same batches of synthetic data. Models take turns, on one thread.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks.synthetic import Shape, SyntheticData, build_model, reduced
from benchmarks.timing import paired
from recbole_marn.registry import MODELS, choices, model_class
from recbole_marn.settings.parsing import defaults

REFERENCE = "MultimodalDIN"


class Step:
    """Training steps of one model on given batches, in turn."""

    def __init__(self, name: str, data: SyntheticData, rows: list[np.ndarray], width: int):
        settings = defaults(MODELS[name].settings) | choices("model", name)
        used = settings.pop("use_modalities", None)
        data = reduced(data, used) if used else data
        self.model = build_model(name, data, **settings | {"width": width})
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.batches = [data.batch(row) for row in rows]

    def __call__(self) -> None:
        for batch, label in self.batches:
            self.optimizer.zero_grad()
            sum(self.model.losses(batch, label).values()).backward()
            self.optimizer.step()

    def parameters(self, *, item_encoder: bool) -> int:
        """Learned numbers, of all or of all but the item encoder, which the models share."""
        named = self.model.named_parameters()
        return sum(p.numel() for name, p in named if item_encoder or not name.startswith("encoder."))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [name for name, row in MODELS.items() if row.ours and model_class(name).makes_item_vectors]
    parser.add_argument("models", nargs="*", default=known, help=f"of {', '.join(known)}")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1_024, help="rows a batch")
    parser.add_argument("--steps", type=int, default=3, help="steps a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shape = Shape(users=args.users, items=args.items, image_rows=args.items, image_width=512)
    data = SyntheticData(shape)
    rows = [data.random_rows(args.batch) for _ in range(args.steps)]
    steps = {name: Step(name, data, rows, args.width) for name in dict.fromkeys([REFERENCE, *args.models])}
    timings = paired(steps, rounds=args.rounds)
    reference = steps[REFERENCE]
    history = data.training.rows.history_length.mean()
    print(f"{args.items} items, images of 512, titles of 10 words, histories of {history:.1f} items on average.")
    print(f"D = {args.width}, batches of {args.batch} rows, one thread, torch {torch.__version__}.")
    milliseconds = 1000 * timings.median(REFERENCE) / args.steps
    print(f"{REFERENCE}: {reference.parameters(item_encoder=True)} parameters, {milliseconds:.0f} ms a step.\n")
    print("| model | parameters | without the item encoder | step time |\n|---|---|---|---|")
    for name in args.models:
        whole, own = (
            steps[name].parameters(item_encoder=everything) / reference.parameters(item_encoder=everything)
            for everything in (True, False)
        )
        print(f"| `{name}` | {whole:.2f} | {own:.2f} | {timings.ratio(name, REFERENCE).median:.2f} |")


if __name__ == "__main__":
    main()
