"""Settings: all of them documented, wrong ones refused with a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from server.environment import SettingsError, load_settings, markdown, setting_names
from server.settings import Settings

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(autouse=True)
def no_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in setting_names() or name.upper().startswith("CASEWIRE_"):
            monkeypatch.delenv(name)


def faults(monkeypatch: pytest.MonkeyPatch, **environ: str) -> list[str]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    return refused.value.faults


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()
    assert settings.redis_url is settings.database_url is settings.ollama_host is None
    assert settings.address == "http://127.0.0.1:8040"
    assert settings.data_dir == Path.cwd() / ".casewire"


def test_a_variable_set_to_nothing_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("CASEWIRE_PORT", "")
    assert load_settings().redis_url is None
    assert load_settings().port == 8040


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("CASEWIRE_PORT", "abc", "a whole number from 1 to 65535"),
        ("CASEWIRE_PORT", "70000", "a whole number from 1 to 65535"),
        ("CASEWIRE_SHARDS", "0", "a whole number from 1 to 1024"),
        ("CASEWIRE_CPU_WORKERS", "-1", "a whole number from 0 to 256"),
        ("CASEWIRE_GPU_WORKERS", "many", "a whole number from 0 to 64"),
        ("CASEWIRE_MAX_UPLOAD_BYTES", "2GB", f"a whole number from 1 to {1 << 43}"),
        ("CASEWIRE_PARSE_MEMORY_BYTES", "1", "a whole number of at least 134217728"),
        ("CASEWIRE_PARSE_TIME_S", "nan", "a number of seconds of at least 1"),
        ("CASEWIRE_PARSE_TOTAL_S", "90000", "a number of seconds from 1 to 86400"),
        ("CASEWIRE_TESSDATA", "/nowhere", "the path of a folder that holds .traineddata files"),
        ("CASEWIRE_OCR_LANGUAGES", "eng,deu", "codes such as eng, deu or chi_sim"),
        ("CASEWIRE_WHISPER", "/nowhere", "the path of a folder that holds model.bin"),
        ("CASEWIRE_SESSION_HOURS", "inf", "a number of hours above 0"),
        ("CASEWIRE_REGISTRATION", "maybe", "open or closed"),
        ("CASEWIRE_PUBLIC_URL", "cases.example.org", "an address without a path"),
        ("CASEWIRE_PUBLIC_URL", "https://cases.example.org/casewire", "an address without a path"),
        ("CASEWIRE_HOST", "http://127.0.0.1", "a host name or an IP address"),
        ("REDIS_URL", "localhost:6379", "a Redis address such as redis://"),
        ("CASEWIRE_QUEUE_URL", "http://localhost", "a Redis address such as redis://"),
        ("DATABASE_URL", "mysql://u@h/d", "a PostgreSQL address such as postgresql://"),
        ("DATABASE_URL", "postgresql://u@h", "a PostgreSQL address such as postgresql://"),
        ("OLLAMA_HOST", "ftp://localhost", "an address such as http://localhost:11434"),
        ("CASEWIRE_LANGUAGE_MODEL", "two words", "the name of a model"),
        ("CASEWIRE_LOCAL_HOSTS", "http://ollama:11434", "names or IP addresses between commas"),
        ("CASEWIRE_LOCAL_HOSTS", "10.0.0.0/8", "names or IP addresses between commas"),
        ("CASEWIRE_NUM_CTX", "12", "a whole number from 1024"),
        ("CASEWIRE_WEBHOOK_HOSTS", "https://a.example", "host names such as hooks.example.org"),
        ("CASEWIRE_WEBHOOK_ATTEMPTS", "0", "a whole number from 1 to 100"),
        ("CASEWIRE_WEBHOOK_PAUSE_DAYS", "0", "a number of days above 0"),
        ("S3_ENDPOINT", "s3.example.org", "an address such as https://s3.eu-central-1.amazonaws.com"),
        ("S3_ENDPOINT", "https://key:secret@s3.example.org", "an address such as https://s3"),
        ("S3_PUBLIC_ENDPOINT", "https://s3.example.org/bucket", "an address such as https://files"),
        ("S3_BUCKET", "Evidence", "the name of a bucket"),
        ("S3_REGION", "EU 1", "the name of a region"),
        ("CASEWIRE_CACHE_BYTES", "1", "a whole number of at least 67108864"),
        ("CASEWIRE_LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("CASEWIRE_LOG_FORMAT", "xml", "console or json"),
        ("CASEWIRE_METRICS_TOKEN", "short", "at least 16 characters without a space"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "an address such as http://localhost:4318"),
    ],
)
def test_a_wrong_value_is_refused_with_one_sentence_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, advice: str
) -> None:
    (sentence,) = faults(monkeypatch, **{name: value})
    assert sentence.startswith(f"{name} is ")
    assert f"must be {advice}" in sentence
    assert "correct it, or unset it" in sentence


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = faults(monkeypatch, CASEWIRE_PORT="x", CASEWIRE_SHARDS="x", CASEWIRE_HSOT="x")
    assert len(told) == 3


def test_a_name_that_is_no_setting_is_refused_with_the_one_probably_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert faults(monkeypatch, CASEWIRE_DATE="x") == [
        "CASEWIRE_DATE is not a setting: did you mean CASEWIRE_DATA? Correct it or unset it."
    ]


def test_names_are_not_taken_in_another_case(monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = faults(monkeypatch, casewire_port="8041")
    assert "did you mean CASEWIRE_PORT?" in sentence


def test_a_fault_never_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    told = faults(
        monkeypatch,
        REDIS_URL="rdis://:hunter2@h",
        DATABASE_URL="pg://u:hunter2@h/d",
        CASEWIRE_METRICS_TOKEN="hunter2",
    )
    assert len(told) == 3
    assert "hunter2" not in "".join(told)


S3 = {
    "S3_ENDPOINT": "https://s3.example.org",
    "S3_BUCKET": "evidence",
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "hush hush",
}


@pytest.mark.parametrize("left_out", S3)
def test_a_store_that_is_named_in_part_is_refused_and_not_replaced_by_a_folder(
    monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    (sentence,) = faults(monkeypatch, **{name: value for name, value in S3.items() if name != left_out})
    assert sentence.startswith(f"For evidence in an S3 store set {left_out}, too")
    assert "hush" not in sentence


def test_a_store_is_known_by_all_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = faults(monkeypatch, S3_PUBLIC_ENDPOINT="https://files.example.org")
    assert "S3_ENDPOINT and S3_BUCKET" in sentence
    for name, value in S3.items():
        monkeypatch.setenv(name, value)
    place = load_settings().s3_place
    assert (place.endpoint, place.bucket, place.region) == ("https://s3.example.org", "evidence", "us-east-1")
    assert place.public_endpoint == "https://files.example.org"
    assert "hush" not in repr(place)


def test_listening_everywhere_asks_for_the_address_that_people_type(monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = faults(monkeypatch, CASEWIRE_HOST="0.0.0.0")
    assert "CASEWIRE_PUBLIC_URL is needed" in sentence
    monkeypatch.setenv("CASEWIRE_PUBLIC_URL", "https://Cases.example.org/")
    assert load_settings().origins == {"https://cases.example.org"}


def test_a_loopback_server_may_be_reached_by_either_spelling() -> None:
    assert Settings(port=9000).origins == {"http://127.0.0.1:9000", "http://localhost:9000"}
    assert Settings(host="10.0.0.1").origins == {"http://10.0.0.1:8040"}


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p%40@h:5433/d?sslmode=require", "postgresql+asyncpg://u:p%40@h:5433/d?ssl=require"),
        ("postgresql://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=%2Frun%2Fpg"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
    ],
)
def test_common_spellings_of_a_database_address_are_taken(given: str, used: str) -> None:
    assert Settings(database_url=given).database_url == used


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().port = 1  # type: ignore[misc]


def test_settings_survive_the_way_to_a_child_process() -> None:
    settings = Settings(port=9000, database_url="postgres://u@h/d", public_url="https://a.example")
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_the_readme_shows_the_table_of_all_settings() -> None:
    assert markdown() in README.read_text(encoding="utf-8"), "run: python -m server.environment --markdown"


def test_a_password_in_the_address_of_the_language_model_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = faults(monkeypatch, OLLAMA_HOST="http://ann:hush@localhost:11434")
    assert len(found) == 1
    assert "without a user or a password" in found[0]
    assert "hush" not in found[0]
