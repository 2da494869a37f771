"""The fuzz targets in their short form; ``make fuzz`` runs the long one."""

import json
from collections import Counter
from pathlib import Path

import pytest

from service.errors import CheckpointDamagedError
from service.records import REFUSAL_REASONS
from service.store.sealed import read_manifest
from tests.fuzz import ingest, store_files
from tests.fuzz.mutations import Mutator

RECORDS = 20_000
FILES = 1_500


def test_fuzzed_records_are_accepted_or_dead_lettered_each_once_and_for_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through log, decoder, learner and sink: no crash, no warning, and what was sent is accounted for."""
    monkeypatch.setattr(ingest, "CAMPAIGN", 6_000)  # so that every task is tried
    for figures in ingest.fuzz(RECORDS, 7, tmp_path):
        assert figures.accepted + figures.refused.total() == figures.records
    assert figures.records == RECORDS
    assert set(figures.refused) == set(REFUSAL_REASONS)
    assert 0.3 < figures.accepted / RECORDS < 0.7
    assert figures.rounds >= 6


def test_a_fuzzed_store_is_read_or_found_damaged(tmp_path: Path) -> None:
    """Every reader of store and state answers, or says what is wrong; damaged bytes are never taken."""
    answers: Counter[str] = Counter()
    for counts in store_files.fuzz_files(FILES, 7, tmp_path):
        answers = counts
    assert answers.total() == FILES
    for target in store_files.targets(tmp_path / "again"):
        told = {answer for answer in answers if answer.startswith(f"{target.name}: ")}
        assert told
        assert not target.sealed or any("CheckpointDamagedError" in answer for answer in told)


def test_the_same_seed_draws_the_same_records() -> None:
    """A fault can be looked at again."""
    one, same, other = Mutator(1, "binary"), Mutator(1, "binary"), Mutator(2, "binary")
    drawn = [one.record() for _ in range(500)]
    assert drawn == [same.record() for _ in range(500)]
    assert drawn != [other.record() for _ in range(500)]


def test_the_fuzzer_notices_a_reader_that_takes_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that could not fail would prove nothing: without the digest damaged bytes are taken, and it says so."""

    def unseal(data: bytes, where: str) -> dict[str, object]:
        try:
            values = json.loads(data)
        except ValueError:
            raise CheckpointDamagedError(where) from None
        return values if isinstance(values, dict) else {}

    [manifest] = [one for one in store_files.targets(tmp_path / "real") if one.name == "checkpoint manifest"]
    read_manifest(manifest.path.parent)
    monkeypatch.setattr("service.store.sealed.unseal", unseal)
    with pytest.raises(store_files.FileFuzzError):
        for _ in store_files.fuzz_files(FILES, 7, tmp_path / "blind"):
            pass


def test_the_fuzzer_notices_a_decoder_that_lets_something_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor would a judge that agreed with everything: it names the record that was misread."""
    monkeypatch.setattr("service.ingest.decode.MS_A_DAY", 2 * 86_400_000)
    with pytest.raises(ingest.FuzzError, match=r"the contract says bad_timestamp|its time is"):
        for _ in ingest.fuzz(RECORDS, 7, tmp_path):
            pass
