"""FastAPI and torch, as one writes it: a pydantic body, a forward pass in the handler, a dict for an answer.

``app`` declares what it returns and ``undeclared`` does not, as in noop.py.
"""

from typing import Any

from body import Body
from fastapi import FastAPI
from network import answer, served
from network import predict as outputs_of

app, undeclared = FastAPI(), FastAPI()
model = served()


@app.post("/v1/predict")
@undeclared.post("/v1/predict", response_model=None)
async def predict(body: Body) -> dict[str, Any]:
    """Answer."""
    return answer(model, outputs_of(model, [instance.row() for instance in body.instances]))
