"""Records what a training loop computes, in causal order, for `stitch parity`.

The format is described in docs/trace-format.md of the stitch repository.
"""

from .parity import assert_parity
from .trace import Trace
from .writer import Writer

__all__ = ["Trace", "Writer", "assert_parity"]
