import numpy as np
import pytest

from archscale.data.sampling import Sampler, permute, validation_batches


def sampler(**changes) -> Sampler:
    settings = {"tokens": np.arange(1000, dtype=np.uint16), "sequence_length": 7, "batch_sequences": 5, "seed": 3}
    return Sampler(**(settings | changes))


@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 1000])
def test_the_permutation_is_a_bijection(size):
    assert sorted(permute(np.arange(size), size, seed=1, epoch=2)) == list(range(size))


def test_the_permutation_changes_with_seed_and_epoch_and_scatters():
    first = permute(np.arange(5000), 5000, seed=1, epoch=0)
    for other in (permute(np.arange(5000), 5000, seed=2, epoch=0), permute(np.arange(5000), 5000, seed=1, epoch=1)):
        assert (first == other).sum() < 20  # a random permutation has 1 fixed point on average
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.1
    assert abs(np.corrcoef(first, np.arange(5000))[0, 1]) < 0.1


def test_a_batch_is_a_function_of_seed_and_step_alone():
    forwards = [sampler().batch(step) for step in range(6)]
    again = sampler()
    for step in (5, 2, 0, 4):
        np.testing.assert_array_equal(again.batch(step)[0], forwards[step][0])
    assert not np.array_equal(sampler(seed=4).batch(0)[0], forwards[0][0])


def test_any_division_of_a_batch_gives_the_same_rows():
    whole_inputs, whole_targets = sampler().batch(11)
    parts = [sampler().batch(11, rows) for rows in (slice(0, 2), slice(2, 3), slice(3, 5))]
    np.testing.assert_array_equal(np.concatenate([inputs for inputs, _ in parts]), whole_inputs)
    np.testing.assert_array_equal(np.concatenate([targets for _, targets in parts]), whole_targets)


def test_targets_are_the_inputs_one_token_ahead():
    inputs, targets = sampler().batch(0)
    assert inputs.shape == targets.shape == (5, 7)
    np.testing.assert_array_equal(targets, inputs + 1)  # the stream counts up


def test_an_epoch_sees_every_window_once():
    one = sampler(batch_sequences=1)
    windows = (1000 - 1) // 7 - 1
    starts = np.concatenate([one.starts(step) for step in range(windows)])
    assert len(set(starts)) == windows
    assert len({int(start) % 7 for start in starts}) == 1
    second = np.concatenate([one.starts(step) for step in range(windows, 2 * windows)])
    assert len(set(second)) == windows
    assert list(second) != list(starts)


def test_a_corpus_barely_longer_than_a_sequence_works():
    tiny = sampler(tokens=np.arange(8, dtype=np.uint8))
    inputs, targets = tiny.batch(3)
    assert inputs.shape == (5, 7)
    assert targets.max() == 7


def test_the_held_out_set_is_fixed_spread_out_and_without_overlap():
    batches = validation_batches(np.arange(1000), sequence_length=10, total_tokens=200, batch_sequences=8)
    assert [len(inputs) for inputs, _ in batches] == [8, 8, 4]
    starts = np.concatenate([inputs[:, 0] for inputs, _ in batches])
    assert len(set(starts)) == 20
    assert np.diff(starts).min() >= 10
    assert starts[-1] > 900


def test_the_held_out_set_is_no_larger_than_the_text():
    batches = validation_batches(np.arange(31), sequence_length=10, total_tokens=10_000, batch_sequences=8)
    assert sum(len(inputs) for inputs, _ in batches) == 3
