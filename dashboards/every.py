"""All dashboards by the name of their file."""

from dashboards.drift import drift
from dashboards.learning import learning
from dashboards.overview import overview
from dashboards.serving import serving
from dashboards.stream import stream

EVERY = {"overview": overview, "learning": learning, "drift": drift, "stream": stream, "serving": serving}
