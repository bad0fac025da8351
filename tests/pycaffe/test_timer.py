from __future__ import annotations

import time

import caffe_lite as caffe


def test_a_timer_counts_milliseconds() -> None:
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.stop()
    timer.start()
    time.sleep(0.02)
    timer.stop()
    first = timer.ms
    assert 20 <= first < 2000
    assert timer.ms == first
    timer.start()
    assert timer.ms < first + 1000  # which stops it
    assert timer.ms == timer.ms
