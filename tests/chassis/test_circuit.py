"""The circuit breaker, against a model that keeps the whole history."""

from hypothesis import given, strategies as st

from guilder.chassis.circuit import MOST_UNDER_WAY, OPENS_AFTER, PAUSE_S, Circuit
from guilder.chassis.clock import Clock


class Watch(Clock):
    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds


ENDS = st.sampled_from([True, False, None])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), ENDS),
        st.tuples(st.just("wait"), st.sampled_from([0.5, PAUSE_S, 10.0])),
    ),
    max_size=60,
)


@given(STEPS)
def test_one_call_after_another(steps):
    """A call goes unless the last OPENS_AFTER that ended failed, the last less than a pause ago."""
    watch, history = Watch(), []
    circuit = Circuit(watch)
    for what, how in steps:
        if what == "wait":
            watch.seconds += how
            continue
        failed = [at for end, at in history[-OPENS_AFTER:] if not end]
        open_ = len(failed) == OPENS_AFTER and watch.seconds - failed[-1] < PAUSE_S
        assert circuit.shut == open_
        assert circuit.enter() == (not open_)
        if not open_:
            circuit.leave(answered=how)
            if how is not None:
                history.append((how, watch.seconds))


def opened(watch):
    circuit = Circuit(watch)
    for _ in range(OPENS_AFTER):
        assert circuit.enter()
        circuit.leave(answered=False)
    return circuit


def test_one_tries_and_the_others_stay():
    watch = Watch()
    circuit = opened(watch)
    watch.seconds += PAUSE_S
    assert circuit.enter()
    assert circuit.shut
    assert not circuit.enter()
    circuit.leave(answered=None)  # gave up: the next one tries
    assert circuit.enter()
    circuit.leave(answered=True)
    assert [circuit.enter() for _ in range(3)] == [True] * 3


def test_calls_that_left_before_it_opened_change_nothing_of_who_may_try():
    watch = Watch()
    circuit = Circuit(watch)
    for _ in range(OPENS_AFTER + 1):
        assert circuit.enter()
    for _ in range(OPENS_AFTER):
        circuit.leave(answered=False)
    assert circuit.shut
    circuit.leave(answered=True)  # it does answer, after all
    assert not circuit.shut


def test_calls_that_failed_together_count_each():
    circuit = Circuit(Watch())
    assert circuit.enter()
    circuit.leave(answered=False, calls=OPENS_AFTER)
    assert circuit.shut


def test_so_many_are_under_way_and_no_more():
    circuit = Circuit(Watch())
    assert circuit.quiet
    assert [circuit.enter() for _ in range(MOST_UNDER_WAY + 1)] == [True] * MOST_UNDER_WAY + [False]
    assert not circuit.shut
    circuit.leave(answered=True)
    assert circuit.enter()
