"""`freshet topics`: what a cluster needs before the first event."""

from typing import Annotated

import typer

from service.cli.options import AsJson, Config, Overrides, answer, load, tell

app = typer.Typer(name="topics", help="Prepare a Kafka cluster.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """Prepare a Kafka cluster."""


@app.command()
def create(
    *,
    partitions: Annotated[
        int | None, typer.Option("--partitions", min=1, metavar="N", help="Of a new topic; else the broker's default.")
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option("--replication-factor", min=1, metavar="N", help="Likewise.")
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Make the configured topics and those of their dead letters; one that is there stays as it is."""
    settings = load(config, overrides, with_schema=True)
    if settings.source.kind != "kafka":
        if as_json:
            answer({"created": [], "present": []})
        tell("freshet: the embedded log makes its topics by itself (source.kind: embedded)")
        return
    from service.ingest.kafka_setup import create_topics  # noqa: PLC0415 - slow to import
    from service.send import PATIENCE_SECONDS, patiently  # noqa: PLC0415

    found = patiently(lambda: create_topics(settings.source, partitions, replication_factor), PATIENCE_SECONDS)
    if as_json:
        answer(
            {
                "created": [name for name, topic in found.items() if topic.made],
                "present": [name for name, topic in found.items() if not topic.made],
            }
        )
        return
    for name, topic in found.items():
        count = f"{topic.partitions} partition{'' if topic.partitions == 1 else 's'}"
        differs = partitions is not None and topic.partitions != partitions and not topic.made
        asked = f", not {partitions}: more are added by Kafka's own tools, not here" if differs else ""
        tell(f"freshet: topic {name} {'made' if topic.made else 'is there'}, with {count}{asked}")
