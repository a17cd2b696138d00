"""What fits on which GPUs: shapes of models, memory of each stage, a layout, a timeline. Without torch."""
