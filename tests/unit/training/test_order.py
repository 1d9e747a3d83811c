"""Which pictures come when: every picture as often as asked, and the same from wherever a run goes on."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loratory.planner import Plan
from loratory.training.batches import epoch_order, step_order
from tests.unit.training.helpers import plan_of, sample

SIZES = [(64, 64), (48, 80), (80, 48), (32, 128)]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    pictures = draw(st.lists(st.tuples(st.sampled_from(SIZES), st.integers(1, 4)), min_size=1, max_size=25))
    samples = [sample(number, size, repeats=repeats) for number, (size, repeats) in enumerate(pictures)]
    return plan_of(samples, draw(st.integers(1, 6)), draw(st.integers(1, 5)))


seeds = st.integers(0, 2**63 - 1)
several = settings(max_examples=60, deadline=None, derandomize=True)


@several
@given(plans(), seeds, st.integers(0, 5))
def test_an_epoch_holds_every_picture_as_often_as_it_is_repeated(plan: Plan, seed: int, epoch: int) -> None:
    order = epoch_order(plan, seed, epoch)
    assert Counter(int(index) for piece in order for index in piece) == {
        index: each.repeats for index, each in enumerate(plan.samples)
    }
    short: Counter[tuple[int, int]] = Counter()
    for piece in order:
        (bucket,) = {plan.samples[index].fit.bucket for index in piece}  # no batch mixes sizes
        assert 1 <= len(piece) <= plan.batch_size
        short[bucket] += len(piece) < plan.batch_size
    assert all(count <= 1 for count in short.values())


@several
@given(plans(), seeds)
def test_epochs_have_as_many_steps_as_kohyas(plan: Plan, seed: int) -> None:
    """Batches of each bucket rounded up, then steps of the whole epoch rounded up; only the last step may be short."""
    counts = Counter(each.fit.bucket for each in plan.samples for _ in range(each.repeats))
    batches = sum(math.ceil(count / plan.batch_size) for count in counts.values())
    steps = math.ceil(batches / plan.accumulation)
    assert (plan.micro_batches, plan.steps_per_epoch) == (batches, steps)
    sizes = [len(pieces) for _, pieces in step_order(plan, seed, 0, 2 * steps)]
    last = batches - (steps - 1) * plan.accumulation
    assert sizes == 2 * [*[plan.accumulation] * (steps - 1), last]


@several
@given(plans(), seeds, st.data())
def test_a_run_that_goes_on_sees_what_the_uninterrupted_one_sees(plan: Plan, seed: int, data: st.DataObject) -> None:
    total = 3 * plan.steps_per_epoch + 1
    start = data.draw(st.integers(0, total))
    whole = [(step, [piece.tolist() for piece in pieces]) for step, pieces in step_order(plan, seed, 0, total)]
    rest = [(step, [piece.tolist() for piece in pieces]) for step, pieces in step_order(plan, seed, start, total)]
    assert [step for step, _ in whole] == list(range(total))
    assert rest == whole[start:]


def test_order_changes_with_seed_and_epoch_and_is_well_mixed() -> None:
    plan = plan_of([sample(number, SIZES[number % 2]) for number in range(40)], batch_size=4)
    firsts = Counter()
    for seed in range(30):
        orders = [np.concatenate(epoch_order(plan, seed, epoch)).tolist() for epoch in range(5)]
        assert len({tuple(order) for order in orders}) == 5
        for order in orders:
            firsts[order[0]] += 1
    # 150 draws of the first picture from 40: every one turns up, none more than 15 times (mean 3.75).
    assert len(firsts) > 30
    assert max(firsts.values()) < 15
    # Batches of both sizes are mixed, not one size after the other.
    kinds = [plan.samples[piece[0]].fit.bucket for piece in epoch_order(plan, 0, 0)]
    assert sum(one != other for one, other in itertools.pairwise(kinds)) > 1


def test_a_bucket_keeps_its_order_when_another_one_after_it_grows() -> None:
    """Each bucket has its own stream: pictures of other sizes do not move it."""
    small = plan_of([sample(number, (48, 80)) for number in range(9)], batch_size=2)
    large = plan_of([*small.samples, *(sample(number, (80, 48)) for number in range(9, 20))], batch_size=2)
    pieces = {tuple(piece.tolist()) for piece in epoch_order(small, 7, 3)}
    assert pieces <= {tuple(piece.tolist()) for piece in epoch_order(large, 7, 3)}
