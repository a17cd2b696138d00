"""The sections of the configuration that say what draws completions and what trains.

Most of their fields say where and how fast, not what: those are in no artifact's key, and a run may be
resumed with others.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from data.section import NEVER, Count, Probability, Section, in_key_of

_ENGINES = ("vllm", "server")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~/-]*)?")

Gpus = tuple[int, ...]
"""Numbers of GPUs, as the process sees them; empty: every GPU found."""


class SamplerConfig(Section):
    """The backend that draws completions."""

    backend: Literal["transformers", "vllm", "server"] = Field(
        "transformers",
        description="'transformers': any device, in this process. 'vllm': vllm.LLM in processes of its own. "
        "'server': OpenAI-compatible endpoints, those of `urls` or vLLM servers that the stage starts.",
    )
    device: str = Field("auto", description="'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1' ...")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Of the weights while sampling.")
    batch_tokens: Count = Field(
        65536, description="Most tokens (rows times length) whose keys and values are held at once."
    )
    threads: Count = Field(1, description="CPU threads; part of what makes a run reproducible.")
    context_tokens: Count | None = Field(
        None,
        description="vLLM: longest prompt and completion together; empty: what the model was made for.",
        json_schema_extra=in_key_of(*_ENGINES),
    )
    python: str | None = Field(
        None,
        description="Python of the environment that has vLLM; empty: $RZERO_COMPUTE_PYTHON, else this one.",
        json_schema_extra=NEVER,
    )
    gpus: Gpus = Field((), description="GPUs to use; empty: all that are found.", json_schema_extra=NEVER)
    tensor_parallel: Count = Field(
        1, description="vLLM: GPUs that share one copy of the model.", json_schema_extra=NEVER
    )
    replicas: int = Field(
        0,
        ge=0,
        description="vLLM: copies of the model; 0: as many as the GPUs hold.",
        json_schema_extra=NEVER,
    )
    gpu_memory_share: Probability = Field(
        0.9, gt=0.0, description="vLLM: share of a GPU's memory to take.", json_schema_extra=NEVER
    )
    eager: bool = Field(
        False, description="vLLM: start faster and run slower, nothing compiled.", json_schema_extra=NEVER
    )
    urls: tuple[str, ...] = Field(
        (),
        description="server: endpoints such as http://host:8000/v1, which must serve the very model that the "
        "stage samples from; empty: the stage starts servers of its own on this machine.",
        json_schema_extra=NEVER,
    )
    served_model: str | None = Field(
        None,
        description="server: name of the model at `urls`; empty: its one model.",
        json_schema_extra=NEVER,
    )
    port: int = Field(
        0,
        ge=0,
        le=65535,
        description="server: first port of the servers that the stage starts; 0: any.",
        json_schema_extra=NEVER,
    )
    requests_at_once: Count = Field(
        256, description="server: most requests under way at each endpoint.", json_schema_extra=NEVER
    )
    request_timeout_seconds: float = Field(
        600.0, gt=0.0, description="vLLM: longest wait without one finished prompt.", json_schema_extra=NEVER
    )
    start_timeout_seconds: float = Field(
        900.0, gt=0.0, description="vLLM: longest start of an engine.", json_schema_extra=NEVER
    )

    @field_validator("urls")
    @classmethod
    def _urls_are_endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not _ENDPOINT.fullmatch(url):
                raise ValueError(
                    f"{url!r} is no endpoint: write http://host:port/v1; a key belongs in $RZERO_SERVER_KEY"
                )
        return value

    @model_validator(mode="after")
    def _urls_need_the_server(self) -> SamplerConfig:
        if self.urls and self.backend != "server":
            raise ValueError(f"urls are for the backend 'server', not for {self.backend!r}")
        return self


class TrainerConfig(Section):
    """The backend that trains."""

    backend: Literal["local", "verl"] = Field(
        "local", description="'local': one process, one device. 'verl': Ray, many GPUs, many nodes."
    )
    device: str = Field("auto", description="'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1' ...")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of forward and backward; the master weights are float32."
    )
    threads: Count = Field(1, description="CPU threads; part of what makes a run reproducible.")
    context_tokens: Count | None = Field(
        None,
        description="verl: longest prompt and completion together; empty: what prompts and max_tokens need.",
        json_schema_extra=in_key_of("verl"),
    )
    lora_rank: int = Field(
        0,
        ge=0,
        description="verl: rank of LoRA adapters; 0: all weights.",
        json_schema_extra=in_key_of("verl"),
    )
    lora_alpha: Count = Field(
        32, description="verl: scale of the LoRA adapters.", json_schema_extra=in_key_of("verl")
    )
    python: str | None = Field(
        None,
        description="Python of the environment that has verl; empty: $RZERO_COMPUTE_PYTHON, else this one.",
        json_schema_extra=NEVER,
    )
    gpus: Gpus = Field(
        (), description="GPUs of this machine to use; empty: all that are found.", json_schema_extra=NEVER
    )
    solver_gpus: int | None = Field(
        None,
        ge=0,
        description="GPUs that the frozen Solver takes while the Challenger trains; 0: it shares "
        "those of the training; empty: half of them, or shared where there is one.",
        json_schema_extra=NEVER,
    )
    nodes: Count = Field(1, description="verl: machines of the Ray cluster to use.", json_schema_extra=NEVER)
    gpus_per_node: int = Field(
        0,
        ge=0,
        description="verl: GPUs to use of each node, or processes on a CPU; 0: as many GPUs as here, one "
        "process.",
        json_schema_extra=NEVER,
    )
    ray_address: str | None = Field(
        None,
        description="verl: a Ray cluster to join, 'host:6379' or 'auto'; empty: one is started and stopped.",
        json_schema_extra=NEVER,
    )
    work_folder: str | None = Field(
        None,
        description="verl: where checkpoints lie until they are in the store; with several nodes a folder "
        "that all of them share; empty: a temporary one.",
        json_schema_extra=NEVER,
    )
    tensor_parallel: Count = Field(
        1, description="verl: GPUs that share one copy of the model in rollouts.", json_schema_extra=NEVER
    )
    gpu_memory_share: Probability = Field(
        0.5, gt=0.0, description="verl: share of a GPU's memory for rollouts.", json_schema_extra=NEVER
    )
    offload: bool | None = Field(
        None,
        description="verl: keep weights and optimiser in the host's memory between steps; empty: where there "
        "are fewer than four GPUs.",
        json_schema_extra=NEVER,
    )
    eager: bool = Field(
        False, description="verl: rollouts start faster and run slower.", json_schema_extra=NEVER
    )
    reward_timeout_seconds: float = Field(
        3600.0, gt=0.0, description="verl: longest scoring of a batch.", json_schema_extra=NEVER
    )
    stall_timeout_seconds: float = Field(
        3600.0, gt=0.0, description="verl: longest silence of a training.", json_schema_extra=NEVER
    )

    @model_validator(mode="after")
    def _nodes_have_their_cluster(self) -> TrainerConfig:
        if self.nodes > 1 and self.ray_address is None:
            raise ValueError("nodes above 1 need ray_address, the Ray cluster that has them")
        if self.nodes > 1 and self.work_folder is None:
            raise ValueError("nodes above 1 need work_folder, a folder that all of them share")
        return self
