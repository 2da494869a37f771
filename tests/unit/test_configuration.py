"""Where settings come from, which source wins, and how clearly a mistake is named."""

from pathlib import Path

import pytest

from service.configuration import check_with_environment, load_settings, require_schema
from service.configuration_text import annotated_yaml, as_tree, to_yaml
from service.errors import ConfigurationError
from service.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a configuration file that sets the window to 100."""
    path = tmp_path / "freshet.yaml"
    path.write_text("window:\n  events: 100\n")
    return path


def message(path: Path | None, overrides: tuple[str, ...] = (), environment: dict[str, str] | None = None) -> str:
    """Return the one line that a faulty configuration is refused with."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, overrides, environment or {})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_environment_overrides_the_file_and_set_overrides_both(file: Path) -> None:
    """Precedence rises from file over environment to the command line."""
    variables = {"FRESHET_WINDOW__EVENTS": "200"}
    assert load_settings(file, (), {}).window.events == 100
    assert load_settings(file, (), variables).window.events == 200
    assert load_settings(file, ["window.events=300"], variables).window.events == 300


def test_the_file_is_found_by_option_then_variable_then_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config wins over $FRESHET_CONFIG, which wins over ./freshet.yaml; without any, the defaults stand."""
    other = tmp_path / "other.yaml"
    other.write_text("window: {events: 50}")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_settings(other, (), {"FRESHET_CONFIG": str(file)}).window.events == 50
    assert load_settings(None, (), {"FRESHET_CONFIG": str(other)}).window.events == 50
    assert load_settings(None, (), {}).window.events == 100
    monkeypatch.chdir(empty)
    assert load_settings(None, (), {}) == Settings()


def test_values_in_environment_and_set_are_yaml() -> None:
    """Lists, null and booleans can be given wherever a value can."""
    overrides = ["schema.numeric=[a, b]", "gate.enabled=false", "gate.max_memory_loss_increase=0.5"]
    settings = load_settings(Path("/dev/null"), overrides, {"FRESHET_SCHEMA__NULLABLE": "[a]"})
    assert settings.schema_.numeric == ("a", "b")
    assert settings.schema_.nullable == ("a",)
    assert settings.gate.enabled is False
    assert settings.gate.max_memory_loss_increase == 0.5


def test_no_and_yes_are_text_and_1e_minus_3_is_a_number(tmp_path: Path) -> None:
    """YAML 1.2's types hold: a label ``no`` stays text, and an exponent without a point is a number."""
    path = tmp_path / "c.yaml"
    path.write_text("schema: {labels: [no, yes]}\ntrain: {learning_rate: 1e-3}\n")
    settings = load_settings(path, (), {})
    assert settings.schema_.labels == ("no", "yes")
    assert settings.train.learning_rate == 0.001


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("trigger.every_event=1",), ("trigger.every_event", "did you mean every_events?")),
        (("nonsense.key=1",), ("unknown key nonsense",)),
        (("window.events=few",), ("window.events", "'few'", "newest learnable events")),
        (("window.events=3",), ("window.events", "3", "greater than or equal to 10")),
        (("task=guess",), ("task", "'guess'", "'binary'")),
        (("window.events",), ("expected section.key=value",)),
        (("window.events=[1",), ("window.events", "not valid YAML")),
        (("task.deeper=1",), ("task",)),
        (("schema.labels=[a]", "task=multiclass"), ("schema.labels",)),
    ],
)
def test_a_wrong_override_is_named_with_what_would_be_right(overrides: tuple[str, ...], words: tuple[str, ...]) -> None:
    """The line names the key, what was wrong with it, and what is possible there."""
    line = message(Path("/dev/null"), overrides)
    assert all(word in line for word in words), line


def test_an_unknown_key_in_the_environment_is_refused_and_named() -> None:
    """A typing mistake in a variable's name does not pass silently."""
    line = message(Path("/dev/null"), (), {"FRESHET_WINDOW__EVENT": "1"})
    assert "FRESHET_WINDOW__EVENT" in line
    assert "did you mean events?" in line


@pytest.mark.parametrize("file_text", [None, "window: {events: 100}\n"])
def test_an_unknown_section_is_blamed_on_what_named_it(tmp_path: Path, file_text: str | None) -> None:
    """Neither the file nor the demo's empty one is at fault for a section of the environment or of --set."""
    path = Path("/dev/null")
    if file_text:
        path = tmp_path / "c.yaml"
        path.write_text(file_text)
    assert message(path, (), {"FRESHET_FOO__BAR": "1"}).startswith("FRESHET_FOO__BAR: foo: unknown key foo; ")
    assert message(path, ("foo.bar=1",)).startswith("--set foo.bar: unknown key foo; ")


@pytest.mark.parametrize(
    ("text", "overrides", "environment", "origin"),
    [
        ("schema: {numeric: [a]}", ("schema.nullable=[b]",), {}, "--set schema.nullable: schema.nullable names"),
        (
            "schema: {numeric: [a]}",
            (),
            {"FRESHET_SCHEMA__NULLABLE": "[b]"},
            "FRESHET_SCHEMA__NULLABLE: schema.nullable",
        ),
        ("schema: {numeric: [a]}", ("schema.boolean=[a]",), {}, "FILE and --set schema.boolean: feature 'a'"),
        ("schema: {numeric: [a]}", ("schema={numeric: [a, a]}",), {}, "--set schema: feature 'a'"),
        ("schema: {numeric: [a, a]}", ("window.events=10",), {}, "FILE: feature 'a'"),
        ("schema: {labels: [a, b]}", (), {"FRESHET_TASK": "regression"}, "FILE and FRESHET_TASK: schema.labels"),
        ("window: {events: 10}", ("serve.port=8001",), {}, "--set serve.port: serve.port and trainer.port"),
    ],
)
def test_keys_that_do_not_go_together_are_blamed_on_what_set_them(
    tmp_path: Path, text: str, overrides: tuple[str, ...], environment: dict[str, str], origin: str
) -> None:
    """A contradiction names the file, the variable or the option of the keys in it, and of no others."""
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert message(path, overrides, environment).startswith(origin.replace("FILE", str(path)))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("store.path=5", "5 does not fit; expected a path"),
        ("window=5", "5 does not fit; expected a section with keys such as events, overflow, replay_events"),
        ("schema.numeric=a", "'a' does not fit; expected a list"),
    ],
)
def test_what_is_expected_is_said_without_pythons_types(override: str, words: str) -> None:
    """The reader of a configuration knows paths, sections and lists, not classes."""
    line = message(Path("/dev/null"), (override,))
    assert words in line
    assert not any(word in line for word in ("class", "instance", "tuple", "dictionary"))


def test_a_tree_that_holds_itself_is_refused_like_any_other(tmp_path: Path) -> None:
    """An alias of YAML can lead into its own mapping; that is one line too."""
    path = tmp_path / "c.yaml"
    path.write_text("window: &a\n  events: *a\n")
    assert "window.events" in message(path)


def test_the_environment_is_checked_over_a_file_that_is_yet_to_be_written() -> None:
    """What a later command would refuse is refused, and the tree stays as it was."""
    tree: dict[str, object] = {"schema": {"numeric": ["a"]}}
    check_with_environment(tree, "new.yaml", {"FRESHET_SCHEMA__NULLABLE": "[a]", "FRESHET_LOG__LEVEL": "debug"})
    assert tree == {"schema": {"numeric": ["a"]}}
    with pytest.raises(ConfigurationError, match=r"^FRESHET_FOO__BAR: foo: unknown key foo"):
        check_with_environment(tree, "new.yaml", {"FRESHET_FOO__BAR": "1"})
    with pytest.raises(ConfigurationError, match=r"^new\.yaml: window\.evnts: unknown key"):
        check_with_environment({"window": {"evnts": 1}}, "new.yaml", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("window: {events: 1", "not valid YAML at line 1"),
        ("- a\n- b\n", "found a list"),
        ("window: 5\n", "window"),
        ("windows:\n  events: 5\n", "did you mean window?"),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong inside a file is said together with the file's name."""
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    line = message(path)
    assert str(path) in line
    assert words in line


def test_a_missing_file_and_one_in_another_encoding_are_named(tmp_path: Path) -> None:
    """A file that cannot be read at all is an error of use, not a traceback."""
    assert "no such file" in message(tmp_path / "absent.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes("topic: é".encode("latin-1"))
    assert "not UTF-8" in message(path)
    assert "cannot be read" in message(tmp_path)


def test_a_schema_is_asked_for_where_one_is_needed() -> None:
    """Without features the line names the schema and the command that infers one."""
    with pytest.raises(ConfigurationError, match=r"schema.*freshet init"):
        require_schema(Settings())
    require_schema(load_settings(Path("/dev/null"), ["schema.boolean=[a]"], {}))


@pytest.mark.parametrize("name", ["freshet.yaml", "freshet.kafka.yaml"])
def test_the_shipped_files_show_every_default(name: str) -> None:
    """Each key of the code stands in the shipped file with the code's value, kind and topic of the source apart."""

    def leaves(tree: dict[str, object], above: str = "") -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in tree.items():
            found |= leaves(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
        return found

    import yaml  # noqa: PLC0415 - the file as it is, not as our loader completes it

    path = ROOT / "config" / name
    shown = leaves(yaml.safe_load(path.read_text(encoding="utf-8")))
    defaults = leaves(as_tree(Settings()))
    apart = {"source.kind", "source.topic"} if "kafka" in name else set()
    assert {key: value for key, value in shown.items() if key not in apart} == {
        key: value for key, value in defaults.items() if key not in apart
    }
    assert load_settings(path, (), {}).source.kind == ("kafka" if apart else "embedded")


@pytest.mark.parametrize("label", ["no", "1", "1e5", "true", "null", "~", "é", "😀", "a: b", "#x", "", "0x1F", "1_0"])
def test_written_configurations_are_read_back_unchanged(tmp_path: Path, label: str) -> None:
    """Text that looks like something else is quoted, in the plain form and in the annotated one."""
    many = ", ".join(f"feature_{index}" for index in range(30))
    settings = load_settings(Path("/dev/null"), [f"schema.numeric=[{many}]"], {})
    settings = settings.model_copy(
        update={"schema_": settings.schema_.model_copy(update={"labels": (label, "other")})},
    )
    for text in (to_yaml(as_tree(settings)), annotated_yaml(as_tree(settings), {"task": "Two\nlines"})):
        path = tmp_path / "again.yaml"
        path.write_text(text, encoding="utf-8")
        assert load_settings(path, (), {}) == settings
