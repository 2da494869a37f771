"""Reads a checkpoint's network for a server that is not Freshet: the very same code, and so the very same sums."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from service.model.learned import LearnedModel

NO_CATEGORIES = 0


def served() -> LearnedModel:
    """Return the network of the checkpoint in the folder that CHECKPOINT names."""
    torch.set_num_threads(1)
    folder = Path(os.environ["CHECKPOINT"])
    encoder = json.loads((folder / "encoder.json").read_text())
    return LearnedModel.from_parts(load_file(folder / "model.safetensors"), encoder)


def predict(model: LearnedModel, rows: list[list[float]]) -> np.ndarray[Any, Any]:
    """Return the probabilities [rows, labels] of rows of numbers."""
    with torch.inference_mode():
        return model.predict(np.array(rows), np.empty((len(rows), NO_CATEGORIES), dtype=np.int64))


def answer(model: LearnedModel, outputs: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return probabilities in the form of Freshet's answer."""
    labels = model.labels
    predictions = [
        {"label": labels[row.index(max(row))], "scores": dict(zip(labels, row, strict=True))}
        for row in outputs.tolist()
    ]
    return {"predictions": predictions, "checkpoint": {"id": "000000-00000000", "trained_until": None}}
