"""A program that answers as NVIDIA's `nvidia-smi` does."""

from __future__ import annotations

from pathlib import Path

# A shell's own words alone, so that it also runs where PATH leads nowhere else.
_ANSWERS = """#!/bin/sh
unit=" MiB"
for argument; do
  case "$argument" in
    --query-gpu=*) asked="${argument#--query-gpu=}" ;;
    --format=*nounits) unit= ;;
  esac
done
gpu=0
while [ $gpu -lt %(gpus)d ]; do
  line= ; rest="$asked,"
  while [ -n "$rest" ]; do
    case "${rest%%%%,*}" in
      index) value=$gpu ;;
      name) value="NVIDIA H100 80GB HBM3" ;;
      uuid) value="GPU-$gpu" ;;
      memory.total) value="%(mebibytes)d$unit" ;;
      memory.used) value="%(used)d$unit" ;;
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


def write_nvidia_smi(
    folder: Path, driver: str | None, gpus: int = 2, mebibytes: int = 81559, used: int = 0
) -> Path:
    """The folder, made, with the program in it; without a driver it fails as the real one does."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvidia-smi"
    values = {"driver": driver, "gpus": gpus, "mebibytes": mebibytes, "used": used}
    program.write_text(_FAILS if driver is None else _ANSWERS % values)
    program.chmod(0o755)
    return folder
