import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from autoseg.core import interrupt
from autoseg.core.interrupt import interrupt_on_sigterm, listen_for_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_stop_is_made_by_a_signal_and_ends_nothing(number, monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)  # also below nohup
    with listen_for_stop() as stop:
        assert not stop.is_requested
        signal.raise_signal(number)
        assert stop.is_requested


def test_a_closed_terminal_stops_nothing_that_was_started_with_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listen_for_stop() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_sigterm_raises_what_ctrl_c_raises_where_there_is_nothing_to_save():
    with pytest.raises(KeyboardInterrupt), interrupt_on_sigterm():
        signal.raise_signal(signal.SIGTERM)


def test_sigterm_means_afterwards_what_it_did():
    before = signal.getsignal(signal.SIGTERM)
    with interrupt_on_sigterm():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_other_threads_signals_keep_their_handlers():
    def handlers() -> set:
        numbers = (signal.SIGINT, signal.SIGTERM)
        with listen_for_stop() as stop, interrupt_on_sigterm():
            assert not stop.is_requested
            return {signal.getsignal(number) for number in numbers}

    before = {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handlers).result() == before


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time that the handlers see, in a list of one number."""
    now = [100.0]
    monkeypatch.setattr(interrupt, "monotonic", lambda: now[0])
    return now


def test_one_interruption_that_arrives_twice_counts_once(clock: list[float]):
    with listen_for_stop() as stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
            clock[0] += 0.1
        assert stop.is_requested


def test_a_second_ctrl_c_stops_at_once(clock: list[float]):
    with listen_for_stop():
        signal.raise_signal(signal.SIGINT)
        clock[0] += 1.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_termination_that_arrives_twice_does_not_disturb_the_clean_up(clock: list[float]):
    with interrupt_on_sigterm():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
