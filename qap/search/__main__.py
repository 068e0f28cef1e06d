"""``python -m qap.search STUDY.yaml``, the same as ``qap search STUDY.yaml``."""

import sys

from qap.__main__ import command

if __name__ == "__main__":
    command(["search", *sys.argv[1:]])
