"""FastAPI and torch, as one writes it: a pydantic body, a forward pass in the handler, a dict for an answer."""

from typing import Any

from body import Body
from fastapi import FastAPI
from network import answer, served
from network import predict as outputs_of

app = FastAPI()
model = served()


@app.post("/v1/predict")
async def predict(body: Body) -> dict[str, Any]:
    """Answer."""
    return answer(model, outputs_of(model, [instance.row() for instance in body.instances]))
