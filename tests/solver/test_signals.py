from __future__ import annotations

import os
import signal
import threading

import pytest

from caffe_lite.kernels import compiling
from caffe_lite.solver.signals import Action, SignalHandler


def test_each_signal_is_told_once():
    before = signal.getsignal(signal.SIGINT)
    with SignalHandler() as handler:
        assert handler.action() is Action.NONE
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


def test_a_handler_is_used_again_and_restores_what_was_there_each_time():
    handler, before = SignalHandler(), signal.getsignal(signal.SIGINT)
    with handler:
        pass
    failed = []

    def work():
        try:
            with handler:  # which has nothing to restore here, and could not
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handler:
            assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_interrupts_where_the_first_stops():
    with SignalHandler() as handler:
        os.kill(os.getpid(), signal.SIGINT)
        assert handler.action() is Action.STOP
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with SignalHandler(sigint=Action.SNAPSHOT) as handler:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        assert handler.action() is Action.SNAPSHOT
        assert handler.action() is Action.NONE


@pytest.mark.parametrize(
    ("purpose", "says"),
    [
        (None, "after batch 3 of 9, with a snapshot;"),
        ("", "after batch 3 of 9, which waits for kernels to be compiled, with"),
        ('layer "ip1"', 'which waits for the kernels of layer "ip1" to be compiled, with'),
    ],
)
def test_what_is_waited_for_is_told(monkeypatch, purpose, says):
    monkeypatch.setattr(compiling, "present", lambda: purpose)
    handler = SignalHandler(activity=lambda: "batch 3 of 9")
    assert says in handler.answer(signal.SIGINT)
    assert (says.partition(", with")[0]) in handler.answer(getattr(signal, "SIGHUP", 1))


@pytest.mark.parametrize(
    ("effect", "snapshot", "first", "second"),
    [
        (Action.STOP, True, "iteration, with a snapshot; once more to quit at once", None),
        (Action.STOP, False, "stopping after this iteration; once more to quit at once", None),
        (Action.SNAPSHOT, True, "a snapshot after this iteration", "a snapshot after this iter"),
        (Action.NONE, True, "", ""),
    ],
)
def test_what_a_signal_does_is_told_its_sender(effect, snapshot, first, second):
    handler = SignalHandler(effect, snapshot_after_train=snapshot)
    for expected in (first, second):
        answer = handler.answer(signal.SIGINT)
        if expected:
            assert answer.startswith("Ctrl-C: ")
            assert expected in answer
        else:
            assert answer == expected
    assert handler.answer(signal.SIGTERM) is None
