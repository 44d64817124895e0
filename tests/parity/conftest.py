"""The modules of `make parity` are no package: they lie beside its script."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
