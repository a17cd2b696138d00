"""One step of TRL's GRPOTrainer on an exported curriculum; run by an interpreter that has TRL, without rzero.

    python trl_step.py FOLDER-OF-THE-CURRICULUM FOLDER-OF-A-MODEL WORK-FOLDER [CHAT-TEMPLATE]

Prints JSON: the rows, the first prompt as the model reads it, the step and its figures.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any


def says_the_label(completions: list[Any], pseudo_label: list[str], **_: Any) -> list[float]:
    """1 where the last box holds the pseudo-label, TRL's keyword being the column's name."""
    texts = [completion[0]["content"] for completion in completions]
    found = [re.findall(r"\\boxed\{([^{}]*)\}", text) for text in texts]
    return [float(bool(said) and said[-1] == label) for said, label in zip(found, pseudo_label, strict=True)]


def main(curriculum: str, model: str, work: str, template: str | None = None) -> None:
    """Train one step and tell of it."""
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    rows = load_dataset("parquet", data_files=f"{curriculum}/*.parquet", split="train")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = template or tokenizer.chat_template
    settings = GRPOConfig(
        output_dir=work,
        max_steps=1,
        per_device_train_batch_size=32,
        num_generations=4,
        max_completion_length=52,
        use_cpu=True,
        bf16=False,
        seed=0,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=says_the_label,
        args=settings,
        train_dataset=rows,
        processing_class=tokenizer,
    )
    trainer.train()
    prompt = tokenizer.apply_chat_template(rows[0]["prompt"], tokenize=False, add_generation_prompt=True)
    logged = next(each for each in trainer.state.log_history if "reward" in each)
    told = {"rows": len(rows), "prompt": prompt, "step": trainer.state.global_step}
    print(json.dumps(told | {name: logged[name] for name in ("reward", "grad_norm", "reward_std")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
