"""What an engine's process says, and what becomes of those who wait for it; without vLLM."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data.backends import VllmSamplerConfig
from infra.jobs.errors import DeviceCrash
from infra.jobs.process import DeviceJob
from infra.samplers import SamplingParams
from infra.samplers import vllm as sampling
from infra.samplers.vllm import VllmSampler
from tests.support.chat_tokenizers import chat_tokenizer, write_base_model

ENGINES = """
    def talks_nonsense(spec, channel):
        channel.say("ready", sequences=8, engines=1)
        for request in channel.requests():
            channel.say("drawn", finished=[{"number": 12345}])
        return {}
"""


def test_who_waits_for_an_engine_that_talks_nonsense_hears_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "engines.py").write_text(textwrap.dedent(ENGINES))

    class Job(DeviceJob):
        def __init__(self, name: str, entry: str, spec: Mapping[str, Any], *_: object) -> None:
            environment = {"PYTHONPATH": str(tmp_path)}
            super().__init__(name, "engines:talks_nonsense", spec, sys.executable, environment)

    monkeypatch.setattr(sampling, "DeviceJob", Job)
    model = write_base_model(tmp_path / "model", chat_tokenizer(None), "a")
    with VllmSampler(VllmSamplerConfig(device="cpu"), model) as sampler:
        with pytest.raises(DeviceCrash, match=r"vllm: what it says makes no sense \(KeyError\(12345\)\)"):
            sampler.sample(["1+1"], SamplingParams(max_tokens=1), [0])
        assert sampler.is_lost
