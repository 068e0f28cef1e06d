"""``python -m qap.search STUDY.yaml``, the same as ``qap search STUDY.yaml``."""

import sys

from qap.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(["search", *sys.argv[1:]]))
