"""The file of tokens: what is taken, what is refused and how that is said, and its rotation."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.errors import ConfigurationError
from service.serve.tokens import MAX_FILE_BYTES, Tokens, parse_tokens

EVENTS, ADMIN = "events-token-0123456789", "admin:token-with-a-colon-in-it"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with one token of each role, that only we can read."""
    path = tmp_path / "tokens"
    path.touch(mode=0o600)
    path.write_text(f"# who sends\n\nfeeder:events:{EVENTS}\n  ops:admin:{ADMIN}  \n")
    return path


def test_each_line_gives_a_name_a_role_and_a_token(file: Path) -> None:
    """Blank lines, comments and space around a line count for nothing; a token may hold colons."""
    with capture_logs() as logs:
        tokens = Tokens(file)
    feeder, ops = tokens.holder(EVENTS.encode()), tokens.holder(ADMIN.encode())
    assert feeder is not None
    assert ops is not None
    assert (feeder.name, feeder.may("events"), feeder.may("admin")) == ("feeder", True, False)
    assert (ops.name, ops.may("events"), ops.may("admin")) == ("ops", True, True)
    assert tokens.holder(b"") is None
    assert tokens.holder(EVENTS[:-1].encode()) is None
    assert logs == []
    assert EVENTS not in repr(feeder)


def test_without_a_file_nobody_holds_a_token() -> None:
    """Not even an empty one."""
    tokens = Tokens(None)
    assert not tokens.configured
    assert tokens.holder(b"") is None


BAD_LINES = {
    "no role": (b"name-secretsecretsecret", "is not name:role:token"),
    "no token": (b"name:secretsecretsecret", "is not name:role:token"),
    "odd name": (b"na me:events:secretsecretsecret", "has a name"),
    "no name": (b":events:secretsecretsecret", "has a name"),
    "the trainer's name": (b"gate:admin:secretsecretsecret", "has the name gate, under which the trainer promotes"),
    "unknown role": (b"name:root:secretsecretsecret", "unknown role; there are events and admin"),
    "short token": (b"name:events:secretsecretsec"[:-4], "has a token that is not 16 to 512"),
    "space in a token": (b"name:events:secret secretsecret", "has a token"),
    "not ASCII": ("name:events:secretsecretsécret".encode(), "has a token"),
    "not UTF-8": (b"name:events:secretsecret\xff\xfesecret", "has a token"),
    "a name twice": (b"first:events:secretsecretsecret", "has a name that an earlier line has"),
    "a token twice": (b"name:admin:firstfirstfirstfirst", "has a token that an earlier line has"),
}


@pytest.mark.parametrize(("line", "words"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_wrong_line_is_named_by_its_number_alone(line: bytes, words: str) -> None:
    """The message has file, number and what is wrong, and nothing of what the line holds."""
    with pytest.raises(ConfigurationError) as caught:
        parse_tokens(b"# comment\nfirst:events:firstfirstfirstfirst\n\n" + line + b"\n", Path("tokens"))
    message = str(caught.value)
    assert "tokens, line 4 " in message
    assert words in message
    assert "secret" not in message
    assert "firstfirst" not in message


def test_a_file_that_cannot_be_read_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """An absent one, a folder, and one that is far too large."""
    huge = tmp_path / "huge"
    huge.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    for path, words in ((tmp_path / "absent", "there is no"), (tmp_path, "cannot read"), (huge, "larger than")):
        with pytest.raises(ConfigurationError, match=rf"^serve\.tokens_file: .*{words}"):
            Tokens(path)


@pytest.mark.parametrize(
    "text", [b"", b"\n\n", b"# feeder:events:secretsecretsecret\n"], ids=["empty", "blank", "comment"]
)
def test_a_file_without_any_token_is_a_matter_of_configuration(tmp_path: Path, text: bytes) -> None:
    """Nobody configures that nobody is let in; leaving the setting out does that."""
    path = tmp_path / "tokens"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match="holds no token"):
        Tokens(path)


@pytest.mark.parametrize("text", ["", "# none for now\n"])
def test_a_file_that_was_emptied_leaves_the_former_tokens_in_force(file: Path, text: str) -> None:
    """As a writer does that empties it before it fills it: said once, and what it then fills it with counts."""
    tokens = Tokens(file)
    with capture_logs() as logs:
        file.write_text(text)
        for _ in range(3):
            assert tokens.holder(EVENTS.encode()) is not None
        file.write_text(f"feeder:events:{EVENTS.upper()}\n")
        assert tokens.holder(EVENTS.encode()) is None
        assert tokens.holder(EVENTS.upper().encode()) is not None
    assert [line.get("problem", "") for line in logs] == [
        f"serve.tokens_file: {file} holds no token; write one as a line name:role:token",
        "",
    ]


def test_a_file_that_everybody_can_read_is_warned_of(file: Path) -> None:
    """It still counts: in a container everybody may be one."""
    file.chmod(0o644)
    with capture_logs() as logs:
        tokens = Tokens(file)
    assert tokens.holder(EVENTS.encode()) is not None
    assert [line["log_level"] for line in logs] == ["warning"]


def test_a_changed_file_counts_at_once(file: Path) -> None:
    """Rewritten in place or replaced by another, as long or not: the old tokens are void, the new ones good."""
    tokens = Tokens(file)
    file.write_text(f"feeder:events:{EVENTS.upper()}\n")
    assert tokens.holder(EVENTS.encode()) is None
    assert tokens.holder(EVENTS.upper().encode()) is not None
    other = file.with_name("other")
    other.write_text(f"feeder:events:{EVENTS.title()}\n")
    other.replace(file)
    assert tokens.holder(EVENTS.upper().encode()) is None
    assert tokens.holder(EVENTS.title().encode()) is not None


def test_a_file_that_became_bad_leaves_the_former_tokens_in_force(file: Path) -> None:
    """Wrong or gone, it is said once, without a token; once good again it counts."""
    tokens = Tokens(file)
    good = file.read_bytes()
    with capture_logs() as logs:
        file.write_text("feeder:events:short-secret\n")
        for _ in range(3):
            assert tokens.holder(EVENTS.encode()) is not None
        file.unlink()
        for _ in range(3):
            assert tokens.holder(EVENTS.encode()) is not None
        file.write_bytes(good.replace(EVENTS.encode(), EVENTS.upper().encode()))
        assert tokens.holder(EVENTS.encode()) is None
        assert tokens.holder(EVENTS.upper().encode()) is not None
    said = [line["event"] for line in logs if "everybody" not in line["event"]]
    assert said == ["tokens not reread; the former ones stay in force"] * 2 + ["tokens reread"]
    assert [f"there is no {file}; " in line.get("problem", "") for line in logs[:2]] == [False, True]
    assert "Errno" not in str(logs)
    assert "short-secret" not in str(logs)
    assert EVENTS.upper() not in str(logs)
