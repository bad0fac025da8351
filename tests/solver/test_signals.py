from __future__ import annotations

import os
import signal
import threading

import pytest

from caffe_lite.solver.signals import Action, SignalHandler


def test_each_signal_is_told_once():
    before = signal.getsignal(signal.SIGINT)
    with SignalHandler() as handler:
        assert handler.action() is Action.NONE
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert handler.action() is Action.STOP
        assert handler.action() is Action.NONE
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_effects_are_chosen_and_hang_up_comes_first():
    with SignalHandler(sigint=Action.NONE, sighup=Action.STOP) as handler:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        assert handler.action() is Action.STOP
        assert handler.action() is Action.NONE


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with SignalHandler() as handler:
            seen.append((signal.getsignal(signal.SIGINT), handler.action()))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, Action.NONE)]
