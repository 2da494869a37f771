"""The body that the other servers take, as pydantic sees it."""

from pydantic import BaseModel


class Instance(BaseModel):
    """Eight numbers."""

    x0: float
    x1: float
    x2: float
    x3: float
    x4: float
    x5: float
    x6: float
    x7: float

    def row(self) -> list[float]:
        """Return them in order."""
        return [self.x0, self.x1, self.x2, self.x3, self.x4, self.x5, self.x6, self.x7]


class Body(BaseModel):
    """Some instances."""

    instances: list[Instance]
