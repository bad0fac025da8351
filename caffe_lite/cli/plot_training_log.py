"""Plot one or more training logs.

CHART is the number of the chart:

  0  test accuracy by iterations          1  test accuracy by seconds
  2  test loss by iterations              3  test loss by seconds
  4  train learning rate by iterations    5  train learning rate by seconds
  6  train loss by iterations             7  train loss by seconds
"""

from __future__ import annotations

import argparse

from caffe_lite.cli.streams import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for plot_training_log."""
    parser.add_argument(
        "chart", metavar="CHART", type=int, choices=range(8), help="a number from 0 to 7"
    )
    parser.add_argument("picture", metavar="OUT", help="the picture, such as loss.png")
    parser.add_argument(
        "logs", metavar="LOG", nargs="+", help="a log of caffe-lite train, or of Caffe"
    )


def run(args: argparse.Namespace) -> int:
    """Draw the chart and print the file's name."""
    from caffe_lite.training_log import charts

    charts.plot(args.chart, args.picture, args.logs)
    say(f"{args.picture}: {charts.CHARTS[args.chart]}")
    return 0
