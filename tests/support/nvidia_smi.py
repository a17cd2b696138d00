"""A program that answers as NVIDIA's `nvidia-smi` does."""

from __future__ import annotations

from pathlib import Path

# A shell's own words alone, so that it also runs where PATH leads nowhere else.
_ANSWERS = """#!/bin/sh
for argument; do
  case "$argument" in --query-gpu=*) asked="${argument#--query-gpu=}" ;; esac
done
gpu=0
while [ $gpu -lt %(gpus)d ]; do
  line= ; rest="$asked,"
  while [ -n "$rest" ]; do
    case "${rest%%%%,*}" in
      index) value=$gpu ;;
      name) value="NVIDIA H100 80GB HBM3" ;;
      memory.total) value="81559 MiB" ;;
      driver_version) value=%(driver)s ;;
      compute_cap) value=9.0 ;;
      *) echo "Field \\"${rest%%%%,*}\\" is not a valid field to query."; exit 2 ;;
    esac
    line="${line:+$line, }$value"; rest="${rest#*,}"
  done
  echo "$line"; gpu=$((gpu + 1))
done
"""
_FAILS = """#!/bin/sh
echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
exit 9
"""


def write_nvidia_smi(folder: Path, driver: str | None, gpus: int = 2) -> Path:
    """The folder, made, with the program in it; without a driver it fails as the real one does."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(_FAILS if driver is None else _ANSWERS % {"driver": driver, "gpus": gpus})
    program.chmod(0o755)
    return folder
