"""Make a small dataset out of a Decathlon one: some cases to train on, others as a test set.

Run it as `python docs/benchmarks/subset.py DATASET OUTPUT TRAINING TEST [SEED]`. Files are linked,
not copied; the test cases go to `imagesTs` and `labelsTs`.
"""

import json
import random
import sys
from pathlib import Path


def link(dataset: Path, output: Path, pair: dict[str, str], suffix: str) -> dict[str, str]:
    """Link image and label of a case; return where they are now."""
    linked = {}
    for kind in ("image", "label"):
        source = dataset / pair[kind]
        target = output / f"{kind}s{suffix}" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())
        linked[kind] = f"./{target.relative_to(output)}"
    return linked


def main() -> None:
    """Link the cases and write the description."""
    dataset, output = Path(sys.argv[1]), Path(sys.argv[2])
    num_training, num_test = int(sys.argv[3]), int(sys.argv[4])
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    description = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    pairs = sorted(description["training"], key=lambda pair: str(pair["image"]))
    chosen = random.Random(seed).sample(pairs, num_training + num_test)
    training = [link(dataset, output, pair, "Tr") for pair in chosen[:num_training]]
    test = [link(dataset, output, pair, "Ts") for pair in chosen[num_training:]]
    changed = {
        **description,
        "training": training,
        "numTraining": num_training,
        "test": [pair["image"] for pair in test],
        "numTest": num_test,
    }
    text = json.dumps(changed, indent=2)
    (output / "dataset.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
