"""FastAPI with a pydantic body, and no model: an answer of the right form that never changes.

``app`` declares what it returns, which lets pydantic write the answer; ``undeclared`` does not, as in most tutorials,
and FastAPI walks through the answer in Python.
"""

from typing import Any

from body import Body
from fastapi import FastAPI

PREDICTION = {"label": "up", "scores": {"down": 0.4876543210987655, "up": 0.5123456789012345}}
CHECKPOINT = {"id": "000000-00000000", "trained_until": "2026-11-25T20:00:00.000Z"}

app, undeclared = FastAPI(), FastAPI()


@app.post("/v1/predict")
@undeclared.post("/v1/predict", response_model=None)
async def predict(body: Body) -> dict[str, Any]:
    """Answer."""
    return {"predictions": [PREDICTION] * len(body.instances), "checkpoint": CHECKPOINT}
