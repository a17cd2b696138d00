"""Tokens per second of the sampler `vllm` against bare `vllm.LLM`: the same prompts, seeds and options.

    RZERO_COMPUTE_PYTHON=.venv-verl/bin/python python -m tests.benchmarks.bench_vllm MODEL [PROMPTS [TOKENS]]

Both run in processes of the device environment, one after the other, twice each; starts are not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = 8
CALLS = 3

BARE = """
import json, sys, time
from vllm import LLM, SamplingParams

if __name__ == "__main__":
    job = json.load(open(sys.argv[1]))
    engine = LLM(**job["options"], disable_log_stats=True)
    rates = []
    for call in range(job["calls"]):
        seeds = range(call * len(job["prompts"]), (call + 1) * len(job["prompts"]))
        params = [SamplingParams(n=job["samples"], max_tokens=job["tokens"], seed=seed) for seed in seeds]
        started = time.perf_counter()
        outputs = engine.generate(job["prompts"], params, use_tqdm=False)
        drawn = sum(len(one.token_ids) for output in outputs for one in output.outputs)
        rates.append(drawn / (time.perf_counter() - started))
    print("RATES " + json.dumps(rates), flush=True)
"""


def main() -> None:
    """Measure and print."""
    from data.config import SamplerConfig
    from infra.jobs import interpreter
    from infra.samplers import SamplingParams, open_sampler
    from infra.samplers.engine import engine_environment, engine_gpus, engine_options

    model = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    tokens = int(sys.argv[3]) if len(sys.argv) > 3 else 48
    prompts = [f"<|solver|>{20 + n % 60}+{1 + n % 9}-{1 + n // 9 % 9}\n" for n in range(count)]
    config = SamplerConfig(backend="vllm", replicas=1, threads=2)
    python = interpreter(None, "")
    environment = engine_environment(config, engine_gpus(config)[0])
    rates: dict[str, list[float]] = {"rzero": [], "bare": []}
    for _ in range(2):
        with open_sampler(config, model) as sampler:
            for call in range(CALLS):
                seeds = range(call * count, (call + 1) * count)
                params = SamplingParams(max_tokens=tokens, samples=SAMPLES)
                started = time.perf_counter()
                drawn = sampler.sample(prompts, params, list(seeds))
                written = sum(len(one.token_ids) for group in drawn for one in group)
                rates["rzero"].append(written / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory() as folder:
            script, job = Path(folder) / "bare.py", Path(folder) / "job.json"
            script.write_text(BARE)
            content = {"options": engine_options(config, model), "prompts": prompts}
            job.write_text(json.dumps(content | {"samples": SAMPLES, "tokens": tokens, "calls": CALLS}))
            asked = subprocess.run(
                [python, str(script), str(job)],
                env=environment | {"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HOME": folder},
                capture_output=True,
                text=True,
                check=True,
            )
        line = next(line for line in asked.stdout.splitlines() if line.startswith("RATES "))
        rates["bare"] += json.loads(line.removeprefix("RATES "))
    for name, measured in rates.items():
        shown = ", ".join(f"{rate:.0f}" for rate in measured)
        print(f"{name}: best {max(measured):.0f} tokens/s of {shown}")
    print(f"rzero / bare: {max(rates['rzero']) / max(rates['bare']):.3f}")


if __name__ == "__main__":
    main()
