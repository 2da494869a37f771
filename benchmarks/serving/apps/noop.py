"""FastAPI with a pydantic body, and no model: an answer of the right form that never changes."""

from typing import Any

from body import Body
from fastapi import FastAPI

PREDICTION = {"label": "up", "scores": {"down": 0.4876543210987655, "up": 0.5123456789012345}}
CHECKPOINT = {"id": "000000-00000000", "trained_until": "2026-11-25T20:00:00.000Z"}

app = FastAPI()


@app.post("/v1/predict")
async def predict(body: Body) -> dict[str, Any]:
    """Answer."""
    return {"predictions": [PREDICTION] * len(body.instances), "checkpoint": CHECKPOINT}
