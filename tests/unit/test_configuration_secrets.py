"""service/configuration_secrets.py: secrets come by environment or file, and are shown nowhere."""

import json
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from service.cli import app
from service.configuration import load_settings
from service.configuration_secrets import SECRET_KEYS
from service.configuration_text import as_tree, to_yaml
from service.errors import ConfigurationError
from service.settings import Settings

SECRET = "hunter2"  # noqa: S105 - looked for in whatever is shown
KEY = "source.kafka.security.password"
VARIABLE = "FRESHET_SOURCE__KAFKA__SECURITY__PASSWORD"
USER = {"FRESHET_SOURCE__KAFKA__SECURITY": "{protocol: SASL_SSL, mechanism: PLAIN, username: u}"}
NOWHERE = Path("/dev/null")


def message(path: Path, overrides: tuple[str, ...] = (), environment: dict[str, str] | None = None) -> str:
    """Return the one line with which a configuration is refused, wherever it is shown."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, overrides, environment or {})
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_secrets_are_known() -> None:
    """They are found by their type, so that none can be forgotten."""
    assert {KEY, "source.kafka.security.key_password"} <= SECRET_KEYS
    assert "source.kafka.security.password_file" not in SECRET_KEYS


@pytest.mark.parametrize("text", [SECRET, "123456", "no", "null", "#1: [a", "a: b", " blank ", "'quoted'"])
def test_a_password_in_the_environment_is_taken_as_it_stands(text: str) -> None:
    """Values are YAML elsewhere; a password is not."""
    security = load_settings(NOWHERE, (), {**USER, VARIABLE: text}).source.kafka.security
    assert security.password == SecretStr(text)


def test_a_password_in_the_file_is_refused(tmp_path: Path) -> None:
    """The line names file and key, and the two places that are right."""
    file = tmp_path / "freshet.yaml"
    file.write_text(f"source: {{kafka: {{security: {{password: {SECRET}}}}}}}")
    line = message(file)
    assert line == (
        f"{file}: {KEY} is a secret; give it by {VARIABLE}, or put it into a file and name that in {KEY}_file"
    )
    file.write_text("source: {kafka: {security: {password: null}}}")
    load_settings(file, (), {})


@pytest.mark.parametrize(
    "override",
    [
        f"{KEY}={SECRET}",
        f"source.kafka.security={{password: {SECRET}}}",
        f"source={{kafka: {{security: {{key_password: {SECRET}}}}}}}",
    ],
)
def test_a_password_on_the_command_line_is_refused(override: str) -> None:
    """Others on the machine can read it there."""
    assert "is a secret; give it by FRESHET_SOURCE__KAFKA__SECURITY__" in message(NOWHERE, (override,))


@pytest.mark.parametrize(
    "environment",
    [
        {"FRESHET_SOURCE__KAFKA__SECURITY": f"[{SECRET}]"},
        {"FRESHET_SOURCE__KAFKA__SECURITY": SECRET},
        {"FRESHET_SOURCE__KAFKA__SECURITY": f"{{password: [{SECRET}]}}"},
        {"FRESHET_SOURCE__KAFKA": f"{{security: {{passwort: {SECRET}}}}}"},
        {"FRESHET_SOURCE__KAFKA": f"[{{security: {{password: {SECRET}}}}}]"},
        {f"{VARIABLE}__MORE": SECRET},
        {**USER, VARIABLE: ""},
        {VARIABLE: SECRET},
        {**USER, VARIABLE: SECRET, "FRESHET_SOURCE__KAFKA__SECURITY__PASSWORD_FILE": "f"},
    ],
)
def test_a_faulty_configuration_does_not_show_what_may_be_a_secret(environment: dict[str, str]) -> None:
    """Errors show the value that does not fit; not here."""
    message(NOWHERE, (), environment)


def test_settings_show_that_there_is_a_password_and_not_which() -> None:
    """Neither their text, nor the tree that manifests and status are made of, nor `check`."""
    environment = {**USER, VARIABLE: SECRET}
    settings = load_settings(NOWHERE, (), environment)
    for shown in (repr(settings), str(settings), json.dumps(as_tree(settings)), to_yaml(as_tree(settings))):
        assert SECRET not in shown
        assert "****" in shown
    with pytest.raises(ValidationError) as raised:
        settings.source.kafka.security.password = None
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("arguments", [["check"], ["check", "--json"]])
def test_check_masks_the_password(arguments: list[str]) -> None:
    """Who asks what is in force sees that a password is."""
    done = CliRunner().invoke(app, [*arguments, "--config", str(NOWHERE)], env={**USER, VARIABLE: SECRET})
    assert done.exit_code == 0
    assert SECRET not in done.output
    assert "****" in done.output


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ({"mechanism": "PLAIN"}, "mechanism is set, but protocol PLAINTEXT makes no use of it"),
        ({"protocol": "SSL", "username": "u"}, "choose a protocol with SASL"),
        ({"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "u", "ca_file": "c"}, "a protocol with SSL"),
        ({"protocol": "SASL_SSL", "username": "u", "password": "p"}, "needs source.kafka.security.mechanism"),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN", "password": "p"}, "needs source.kafka.security.username"),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u"}, f"needs a password; set {VARIABLE}"),
        ({"protocol": "SSL", "certificate_file": "c"}, "no use without source.kafka.security.key_file"),
        ({"protocol": "SSL", "key_file": "k"}, "no use without source.kafka.security.certificate_file"),
        ({"protocol": "SSL", "key_password_file": "k"}, "key_file is not; set it"),
        (
            {
                "protocol": "SSL",
                "certificate_file": "c",
                "key_file": "k",
                "key_password": "p",
                "key_password_file": "f",
            },
            "are both set; keep one",
        ),
    ],
)
def test_security_that_makes_no_sense_is_refused(security: dict[str, str], expected: str) -> None:
    """Each contradiction is named with its keys, before anything connects."""
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"source": {"kafka": {"security": security}}})
    [problem] = raised.value.errors()
    assert expected in problem["msg"]
    assert all(key.startswith("source.kafka.security.") for key in problem["ctx"]["keys"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"topic": "a", "more_topics": ["b", "a"]}, "'a' would be read twice"),
        ({"topic": "a", "more_topics": ["b", "b"]}, "'b' would be read twice"),
        ({"topic": "a", "more_topics": ["a.dlq"]}, "'a.dlq' keeps the dead letters of another"),
    ],
)
def test_topics_that_get_in_each_others_way_are_refused(source: dict[str, object], expected: str) -> None:
    """A topic is read once, and never as events what was refused as events."""
    with pytest.raises(ValidationError, match=expected):
        Settings.model_validate({"source": source})


def test_a_written_configuration_needs_the_secret_and_does_not_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`freshet init` on a base that takes its password from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, SECRET)
    security = "{protocol: SASL_SSL, mechanism: PLAIN, username: me}"
    (tmp_path / "base.yaml").write_text(f"source:\n  kind: kafka\n  kafka:\n    security: {security}\n")
    (tmp_path / "a.csv").write_text("x,label\n" + "".join(f"{row % 7},{'ab'[row % 2]}\n" for row in range(40)))
    done = CliRunner().invoke(app, ["init", "a.csv", "--label", "label", "--config", "base.yaml", "--out", "out.yaml"])
    assert done.exit_code == 0, done.output
    written = (tmp_path / "out.yaml").read_text()
    assert SECRET not in written
    assert "password" not in written
    assert load_settings(tmp_path / "out.yaml").source.kafka.security.username == "me"
