import signal

import pytest

from autoseg.core.interrupt import ending_at_once, listening


def test_a_request_to_stop_is_made_by_a_signal_and_ends_nothing():
    with listening() as stop:
        assert not stop.is_made
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_made


def test_sigterm_raises_what_ctrl_c_raises_where_there_is_nothing_to_save():
    with pytest.raises(KeyboardInterrupt), ending_at_once():
        signal.raise_signal(signal.SIGTERM)


def test_sigterm_means_afterwards_what_it_did():
    before = signal.getsignal(signal.SIGTERM)
    with ending_at_once():
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is before
