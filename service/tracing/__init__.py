"""Traces for OpenTelemetry. With `telemetry.traces` off nothing of it is loaded, and the parts are those without it."""
