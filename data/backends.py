"""The backends that sample, train and track: one class each, with the settings that it reads.

`backend` tells the members of `SamplerConfig`, `TrainerConfig` and `TrackerConfig` apart. To add a backend X,
write its class here, add it to the union, and implement it in `infra/samplers/X.py`, `infra/trainers/X.py` or
`infra/trackers/X.py` (docs/extending.md).

Unkeyed fields say where and how fast, not what: they enter no artifact's key, and may differ when a run is
resumed.

No setting names a program or a machine that runs code: whoever may start a run could run anything. Those come
from the environment of the process that works (`WHERE_IT_WORKS`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import Field, field_validator, model_validator

from data.foreign import ENDPOINT
from data.section import Count, Probability, Section, Unkeyed

WHERE_IT_WORKS = {"python": "RZERO_COMPUTE_PYTHON", "ray_address": "RZERO_RAY_ADDRESS"}
"""Settings of earlier versions, and the variables of the working process that have taken their place."""


class BackendConfig(Section):
    """Settings of every backend."""

    hides_tokens: ClassVar[bool] = False
    """Whether it can do `challenger.vocabulary_dropout`."""
    backend: str = Field(description="Which backend it is.")
    device: str = Field("auto", description="'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1' ...")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Type of the computation; training keeps master weights in float32."
    )
    threads: Count = Field(1, description="CPU threads; part of what makes a run reproducible.")


class EngineConfig(BackendConfig):
    """Settings of every backend that runs vLLM in separate processes."""

    context_tokens: Count | None = Field(
        None,
        description="Most tokens of a prompt and its completion. Empty: a sampler takes the model's own "
        "limit, a trainer what its prompts and max_tokens need.",
    )
    gpus: Unkeyed[tuple[int, ...]] = Field(
        (), description="GPUs of this machine to use, by number; empty: all that are found."
    )
    tensor_parallel: Unkeyed[Count] = Field(
        1, description="GPUs that share one copy of the model while it draws."
    )
    gpu_memory_share: Unkeyed[Probability] = Field(
        0.9, gt=0.0, description="Share of a GPU's memory that vLLM takes."
    )
    eager: Unkeyed[bool] = Field(False, description="Start faster and draw slower, nothing compiled.")


class EngineSamplerConfig(EngineConfig):
    """Settings of both samplers that run vLLM."""

    replicas: Unkeyed[int] = Field(0, ge=0, description="Copies of the model; 0: as many as the GPUs hold.")
    request_timeout_seconds: Unkeyed[float] = Field(
        600.0, gt=0.0, description="Longest wait without one finished prompt."
    )
    start_timeout_seconds: Unkeyed[float] = Field(900.0, gt=0.0, description="Longest start of an engine.")


class TransformersSamplerConfig(BackendConfig):
    """Any device, in this process."""

    hides_tokens = True
    backend: Literal["transformers"] = Field("transformers", description="Any device, in this process.")
    batch_tokens: Count = Field(
        65536, description="Most tokens (rows times length) whose keys and values are held at once."
    )


class VllmSamplerConfig(EngineSamplerConfig):
    """`vllm.LLM` in processes of its own."""

    backend: Literal["vllm"] = Field("vllm", description="vllm.LLM in processes of its own.")
    sleeps: Unkeyed[bool] = Field(
        False,
        description="Leave the GPU to others while there is nothing to draw, weights in the host's memory. "
        "The frozen Solver does so by itself where it shares the GPUs of the Challenger's training.",
    )


class ServerSamplerConfig(EngineSamplerConfig):
    """OpenAI-compatible endpoints."""

    backend: Literal["server"] = Field(
        "server",
        description="OpenAI-compatible endpoints: those of `urls`, or servers that the stage starts.",
    )
    urls: Unkeyed[tuple[str, ...]] = Field(
        (),
        description="Endpoints such as http://host:8000/v1, which must serve the very model that the stage "
        "samples from; empty: the stage starts vLLM servers of its own on this machine.",
    )
    served_model: Unkeyed[str | None] = Field(
        None, description="Name of the model at `urls`; empty: its one model."
    )
    port: Unkeyed[int] = Field(
        0, ge=0, le=65535, description="First port of the servers that the stage starts; 0: any."
    )
    requests_at_once: Unkeyed[Count] = Field(256, description="Most requests under way at each endpoint.")

    @field_validator("urls")
    @classmethod
    def _urls_are_endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not ENDPOINT.fullmatch(url):
                raise ValueError(
                    "that is no endpoint: write http://host:port/v1; a key belongs in $RZERO_SERVER_KEY"
                )
        return value


SamplerConfig = Annotated[
    TransformersSamplerConfig | VllmSamplerConfig | ServerSamplerConfig, Field(discriminator="backend")
]


class TrainerBase(BackendConfig):
    """Settings of every trainer; it may share its machine with the Solver that the reward samples from."""

    solver_gpus: Unkeyed[int | None] = Field(
        None,
        ge=0,
        description="GPUs that the frozen Solver takes while the Challenger trains; 0: it shares "
        "those of the training; empty: half of them, or shared where there is one.",
    )


class LocalTrainerConfig(TrainerBase):
    """One process, one device."""

    hides_tokens = True
    backend: Literal["local"] = Field("local", description="One process, one device.")


class VerlTrainerConfig(EngineConfig, TrainerBase):
    """verl on Ray: many GPUs, many nodes."""

    backend: Literal["verl"] = Field("verl", description="verl on Ray: many GPUs, many nodes.")
    gpu_memory_share: Unkeyed[Probability] = Field(
        0.5, gt=0.0, description="Share of a GPU's memory that rollouts take."
    )
    lora_rank: int = Field(0, ge=0, description="Rank of LoRA adapters; 0: all weights.")
    lora_alpha: Count = Field(32, description="Scale of the LoRA adapters.")
    nodes: Unkeyed[Count] = Field(
        1, description="Machines to use of the Ray cluster at $RZERO_RAY_ADDRESS, which is the worker's."
    )
    gpus_per_node: Unkeyed[int] = Field(
        0,
        ge=0,
        description="GPUs to use of each node, or processes on a CPU; 0: as many GPUs as here, one process.",
    )
    work_folder: Unkeyed[str | None] = Field(
        None,
        description="Where checkpoints lie until they are in the store; with several nodes a folder "
        "that all of them share; empty: a temporary one.",
    )
    offload: Unkeyed[Literal["never", "between_steps", "always"] | None] = Field(
        None,
        description="When weights and optimiser are in the host's memory: never, while rollouts are drawn, "
        "or always, AdamW's step included, which is slow. Empty: the first of these that fits.",
    )
    reward_timeout_seconds: Unkeyed[float] = Field(
        3600.0, gt=0.0, description="Longest wait for the next rollout of a batch."
    )
    stall_timeout_seconds: Unkeyed[float] = Field(
        3600.0, gt=0.0, description="Longest time that a training may say nothing."
    )

    @model_validator(mode="after")
    def _nodes_share_a_folder(self) -> VerlTrainerConfig:
        if self.nodes > 1 and self.work_folder is None:
            raise ValueError("nodes above 1 need work_folder, a folder that all of them share")
        return self


TrainerConfig = Annotated[LocalTrainerConfig | VerlTrainerConfig, Field(discriminator="backend")]


class TrackerBase(Section):
    """Settings of every experiment tracker. Its server, if any, and keys are the environment's to name."""

    package: ClassVar[str]
    """What must be importable; the extra of rzero that brings it has the backend's name."""
    backend: str = Field(description="Which tracker it is.")
    folder: str | None = Field(
        None,
        description="Where its files lie; empty: `trackers/` in a store that is a folder, else "
        "./rzero-trackers.",
    )


class _InProject(TrackerBase):
    project: str = Field(
        "rzero", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="The project that runs stand in."
    )


class TensorboardConfig(TrackerBase):
    """Event files that TensorBoard reads."""

    package = "tensorboard"
    backend: Literal["tensorboard"] = Field("tensorboard", description="Event files.")


class MlflowConfig(_InProject):
    """MLflow: the server at $MLFLOW_TRACKING_URI of the process that works, else an SQLite file."""

    package = "mlflow"
    backend: Literal["mlflow"] = Field("mlflow", description="MLflow: a server or an SQLite file.")


class WandbConfig(_InProject):
    """Weights & Biases, offline: files that `wandb sync` uploads."""

    package = "wandb"
    backend: Literal["wandb"] = Field("wandb", description="Weights & Biases, offline.")


class TrackioConfig(_InProject):
    """Trackio, local."""

    package = "trackio"
    backend: Literal["trackio"] = Field("trackio", description="Trackio, local.")


TrackerConfig = Annotated[
    TensorboardConfig | MlflowConfig | WandbConfig | TrackioConfig, Field(discriminator="backend")
]


def variants(annotation: Any) -> dict[str, type[Section]]:
    """The classes of a union of backends, or of a tuple of them, by backend; empty for all else."""
    parts = [part for part in get_args(annotation) if part is not Ellipsis]
    if get_origin(annotation) is tuple and len(parts) == 1:
        return variants(get_args(parts[0])[0]) if get_origin(parts[0]) is Annotated else {}
    classes = [kind for kind in parts if isinstance(kind, type) and issubclass(kind, Section)]
    return {kind.model_fields["backend"].default: kind for kind in classes if "backend" in kind.model_fields}
