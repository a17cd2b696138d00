"""Tokens per second of the sampler `vllm` against bare `vllm.LLM`: the same prompts, seeds and options.

    export RZERO_COMPUTE_PYTHON=.venv-verl/bin/python
    python -m tests.benchmarks.bench_vllm MODEL [PROMPTS [TOKENS [CALLS]]] [--eager]

Both engines live in processes of the device environment and are asked in turn, CALLS times each, so that
what else the machine does meets both; starts and the first call of each are not counted. With `--eager`
nothing is compiled: both start sooner and draw slower.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data.backends import VllmSamplerConfig
from infra.jobs.process import interpreter
from infra.samplers import Sampler, SamplingParams, open_sampler
from infra.samplers.engine import engine_environment, engine_gpus, engine_options

SAMPLES = 8

BARE = """
import json, sys, time
from vllm import LLM, SamplingParams

if __name__ == "__main__":
    job = json.load(open(sys.argv[1]))
    engine = LLM(**job["options"], disable_log_stats=True)
    print("READY", flush=True)
    for line in sys.stdin:
        drawing = {"n": job["samples"], "max_tokens": job["tokens"]}
        params = [SamplingParams(**drawing, seed=seed) for seed in json.loads(line)]
        started = time.perf_counter()
        outputs = engine.generate(job["prompts"], params, use_tqdm=False)
        drawn = sum(len(one.token_ids) for output in outputs for one in output.outputs)
        print("RATE", drawn / (time.perf_counter() - started), flush=True)
"""


def ours(sampler: Sampler, prompts: Sequence[str], tokens: int, seeds: Sequence[int]) -> float:
    """Tokens per second of a call."""
    started = time.perf_counter()
    drawn = sampler.sample(prompts, SamplingParams(max_tokens=tokens, samples=SAMPLES), seeds)
    return sum(len(one.token_ids) for group in drawn for one in group) / (time.perf_counter() - started)


@contextlib.contextmanager
def bare(
    config: VllmSamplerConfig, model: Path, prompts: Sequence[str], tokens: int
) -> Iterator[Callable[[Sequence[int]], float]]:
    """A bare engine: from seeds to tokens per second of a call."""
    with tempfile.TemporaryDirectory() as folder:
        script, job = Path(folder) / "bare.py", Path(folder) / "job.json"
        script.write_text(BARE)
        content = {"options": engine_options(config, model), "prompts": list(prompts)}
        job.write_text(json.dumps(content | {"samples": SAMPLES, "tokens": tokens}))
        environment = engine_environment(config, engine_gpus(config)[0])
        process = subprocess.Popen(
            [interpreter(), str(script), str(job)],
            env=environment | {"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HOME": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def said(word: str) -> str:
            for line in stdout:
                if line.startswith(word):
                    return line.removeprefix(word)
            raise SystemExit(f"bare vLLM ended with exit code {process.wait()}")

        def rate(seeds: Sequence[int]) -> float:
            stdin.write(json.dumps(list(seeds)) + "\n")
            stdin.flush()
            return float(said("RATE"))

        try:
            said("READY")
            yield rate
        finally:
            stdin.close()
            process.wait()


def main() -> None:
    """Measure and print."""
    given = [argument for argument in sys.argv[1:] if argument != "--eager"]
    model = Path(given[0])
    count = int(given[1]) if len(given) > 1 else 256
    tokens = int(given[2]) if len(given) > 2 else 48
    calls = int(given[3]) if len(given) > 3 else 6
    prompts = [f"<|solver|>{20 + n % 60}+{1 + n % 9}-{1 + n // 9 % 9}\n" for n in range(count)]
    config = VllmSamplerConfig(replicas=1, threads=2, gpu_memory_share=0.4, eager="--eager" in sys.argv)
    rates: dict[str, list[float]] = {"rzero": [], "bare": []}
    with open_sampler(config, model) as sampler, bare(config, model, prompts, tokens) as ask:
        for call in range(calls + 1):
            seeds = range(call * count, (call + 1) * count)
            rates["rzero"].append(ours(sampler, prompts, tokens, seeds))
            rates["bare"].append(ask(seeds))
    usual = {name: statistics.median(measured[1:]) for name, measured in rates.items()}
    for name, measured in rates.items():
        shown = ", ".join(f"{rate:.0f}" for rate in measured[1:])
        print(f"{name}: median {usual[name]:.0f} tokens/s of {shown}")
    print(f"rzero / bare: {usual['rzero'] / usual['bare']:.3f}")


if __name__ == "__main__":
    main()
