"""The ids of a span as log lines carry them."""

from opentelemetry.trace import Span, format_span_id, format_trace_id


def ids_of(span: Span) -> dict[str, str]:
    """Return ``trace_id`` and ``span_id`` in lower-case hexadecimal; nothing if tracing is disabled by the SDK."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}
