from autoseg.core.random import derived_seed, generator


def test_the_same_purpose_draws_the_same_numbers() -> None:
    first, second = generator(3, "train", 7), generator(3, "train", 7)
    assert first.integers(1 << 40, size=4).tolist() == second.integers(1 << 40, size=4).tolist()


def test_other_purposes_draw_other_numbers() -> None:
    seeds = {
        derived_seed(seed, stream, step)
        for seed in range(3)
        for stream in ("train", "validation")
        for step in range(50)
    }
    assert len(seeds) == 300
    assert all(0 <= seed < 2**63 for seed in seeds)
