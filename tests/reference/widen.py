#!/usr/bin/env python3
"""Writes a model file with its quantised weights as f32, about seven times the size.

Quantised kernels round activations to 8 bits, and any change of the order of a sum changes some
of that rounding, so two right engines differ by more than f32 would explain. The widened file under
`greedy.py --attention f32` has the same weights and none of that noise: how far an engine is from
it, against how far llama.cpp's own quantised kernels are, separates noise from error.
"""

import argparse
from pathlib import Path

from engine import widen

parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
parser.add_argument("--engine", type=Path, required=True, help="folder that prepare.sh filled")
parser.add_argument("model", type=Path)
parser.add_argument("widened", type=Path)
args = parser.parse_args()
widen(args.engine, args.model, args.widened)
