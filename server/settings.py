"""Every setting of an instance, with its default, its meaning and its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator
from pydantic_settings import SettingsConfigDict

from server import setting_values as values
from server.setting_fields import setting as _setting
from server.setting_fields import whole as _whole
from server.settings_stores import StoreSettings


class Settings(StoreSettings):
    """What an instance was told; never changes while it runs.

    Settings that are unset in the environment (or set to nothing) have the defaults below.
    """

    model_config = SettingsConfigDict(
        frozen=True, case_sensitive=True, env_ignore_empty=True, populate_by_name=True, extra="forbid"
    )

    cache_bytes: int = _setting(
        "CASEWIRE_CACHE_BYTES",
        8 << 30,
        "Most that is kept in `cache/` of the data folder, in bytes: an eighth for pictures of pages, the "
        "rest for what is fetched from S3.",
        _whole(64 << 20),
        ge=64 << 20,
    )
    host: str = _setting(
        "CASEWIRE_HOST",
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 means every network of the machine.",
        "a host name or an IP address",
        min_length=1,
        pattern=r"^[^\s/]+$",
    )
    port: int = _setting("CASEWIRE_PORT", 8040, "Port to listen on.", _whole(1, 65535), ge=1, le=65535)
    public_url: Annotated[str, AfterValidator(values.origin)] | None = _setting(
        "CASEWIRE_PUBLIC_URL",
        None,
        "Address that people type, if it differs from host and port; requests of other origins are refused.",
        "an address without a path, such as https://cases.example.org",
    )
    shards: int = _setting(
        "CASEWIRE_SHARDS",
        16,
        "Over how many hash slots the topics are spread; must stay the same for the life of the data.",
        _whole(1, 1024),
        ge=1,
        le=1024,
    )
    processes: int = _setting(
        "CASEWIRE_PROCESSES",
        1,
        "Server processes that share the port; about one for each core that workers leave free.",
        _whole(1, 64),
        ge=1,
        le=64,
    )
    cpu_workers: int = _setting(
        "CASEWIRE_CPU_WORKERS",
        1,
        "Worker processes for the queue `cpu` (parsing, entities, answers).",
        _whole(0, 256),
        ge=0,
        le=256,
    )
    gpu_workers: int = _setting(
        "CASEWIRE_GPU_WORKERS",
        1,
        "Worker processes for the queue `gpu` (embeddings; without a GPU they compute on the CPU).",
        _whole(0, 64),
        ge=0,
        le=64,
    )
    pin: Literal["no", "cores", "numa"] = _setting(
        "CASEWIRE_PIN",
        "no",
        "Whether each worker keeps to processor cores of its own, or to those of one memory node.",
        "no, cores or numa",
    )
    max_upload_bytes: int = _setting(
        "CASEWIRE_MAX_UPLOAD_BYTES",
        1 << 40,
        "Largest file that is accepted, in bytes, 8 TiB at most.",
        _whole(1, 1 << 43),
        ge=1,
        le=1 << 43,
    )
    quota_user_bytes: int = _setting(
        "CASEWIRE_QUOTA_USER_BYTES",
        0,
        "Bytes that one person's evidence may have in all cases together, what is on its way included; "
        "0 for no limit.",
        _whole(0),
        ge=0,
    )
    quota_case_bytes: int = _setting(
        "CASEWIRE_QUOTA_CASE_BYTES",
        0,
        "Bytes that the evidence of one case may have, what is on its way included; 0 for no limit.",
        _whole(0),
        ge=0,
    )
    import_window: int = _setting(
        "CASEWIRE_IMPORT_WINDOW",
        64,
        "Files of one folder that are worked on at a time; the others wait outside of Redis.",
        _whole(1, 10_000),
        ge=1,
        le=10_000,
    )
    pressure_memory: float = _setting(
        "CASEWIRE_PRESSURE_MEMORY",
        0.85,
        "Share of main memory in use from which work goes more slowly; never less than a tenth as fast.",
        "a number from 0.01 to 0.99",
        ge=0.01,
        le=0.99,
        allow_inf_nan=False,
    )
    parse_memory_bytes: int = _setting(
        "CASEWIRE_PARSE_MEMORY_BYTES",
        1 << 30,
        "Memory that reading one file may take, in bytes; more fails that file.",
        _whole(128 << 20),
        ge=128 << 20,
    )
    parse_time_s: float = _setting(
        "CASEWIRE_PARSE_TIME_S",
        300.0,
        "Seconds that reading one file may go on without progress, such as a page or a message; "
        "more fails that file. Large files take longer in all.",
        "a number of seconds of at least 1",
        ge=1,
        allow_inf_nan=False,
    )
    parse_total_s: float = _setting(
        "CASEWIRE_PARSE_TOTAL_S",
        86_400.0,
        "Seconds that reading one file may take in all, however far it gets; more fails that file.",
        "a number of seconds from 1 to 86400",
        ge=1,
        le=86_400,
        allow_inf_nan=False,
    )
    parse_output_bytes: int = _setting(
        "CASEWIRE_PARSE_OUTPUT_BYTES",
        512 << 20,
        "Text and pictures that one file may be turned into, in bytes; more fails that file.",
        _whole(1 << 20),
        ge=1 << 20,
    )
    unpack_files: int = _setting(
        "CASEWIRE_UNPACK_FILES",
        100_000,
        "Files that may come out of one upload, such as an archive with all that is in it; "
        "others are left out and counted.",
        _whole(0),
        ge=0,
    )
    unpack_bytes: int = _setting(
        "CASEWIRE_UNPACK_BYTES",
        64 << 30,
        "Bytes that may come out of one upload; other files are left out and counted.",
        _whole(0),
        ge=0,
    )
    tessdata: Annotated[Path, AfterValidator(values.tessdata)] | None = _setting(
        "CASEWIRE_TESSDATA",
        None,
        "Folder of Tesseract's data (`eng.traineddata` …) for recognising text in pictures. Unset: where "
        "Linux distributions put it.",
        "the path of a folder that holds .traineddata files",
    )
    ocr_languages: str = _setting(
        "CASEWIRE_OCR_LANGUAGES",
        "eng",
        "Languages of the text in pictures, by Tesseract's codes joined by +, such as `eng+deu`.",
        "codes such as eng, deu or chi_sim, joined by +",
        pattern=r"^[A-Za-z_]+(\+[A-Za-z_]+)*$",
    )
    whisper: Annotated[Path, AfterValidator(values.whisper)] | None = _setting(
        "CASEWIRE_WHISPER",
        None,
        "Folder of a faster-whisper model (`model.bin` …) for transcripts; needs the extra `transcribe`. "
        "Unset: there are none.",
        "the path of a folder that holds model.bin",
    )
    session_hours: float = _setting(
        "CASEWIRE_SESSION_HOURS",
        72.0,
        "Hours without use after which a login ends.",
        "a number of hours above 0 and up to 8760",
        gt=0,
        le=8760,
        allow_inf_nan=False,
    )
    registration: Literal["open", "closed"] = _setting(
        "CASEWIRE_REGISTRATION",
        "open",
        "Whether new people may register themselves; the first account can always be made.",
        "open or closed",
    )
    sources: Annotated[str, AfterValidator(values.sources)] | None = _setting(
        "CASEWIRE_SOURCES",
        None,
        "Pages, feeds (RSS, Atom) and searches outside that a question may be put to, separated by spaces. "
        "`{query}` in an address becomes the text of the question, which that site then sees; nothing else "
        "leaves the case. A private address needs its port written. Unset: nothing is read.",
        "up to 20 addresses such as https://news.example.org/feed or https://law.example.org/?q={query}",
    )
    webhook_hosts: Annotated[str, AfterValidator(values.webhook_hosts)] | None = _setting(
        "CASEWIRE_WEBHOOK_HOSTS",
        None,
        "Hosts that webhooks may call: names, `name:port`, `*.example.org` or `*`, separated by commas; only "
        "a host named in full may have a private address. Unset: there are no webhooks.",
        "host names such as hooks.example.org, *.example.org or 127.0.0.1:9000, separated by commas",
    )
    webhook_attempts: int = _setting(
        "CASEWIRE_WEBHOOK_ATTEMPTS",
        12,
        "How often a delivery is tried, over about two hours by default, before it is put aside.",
        _whole(1, 100),
        ge=1,
        le=100,
    )
    webhook_pause_days: float = _setting(
        "CASEWIRE_WEBHOOK_PAUSE_DAYS",
        5.0,
        "Days without one successful delivery after which a webhook is paused and its owner told.",
        "a number of days above 0 and up to 365",
        gt=0,
        le=365,
        allow_inf_nan=False,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "CASEWIRE_LOG_LEVEL", "info", "Least level that is logged.", "debug, info, warning or error"
    )
    log_format: Literal["console", "json"] = _setting(
        "CASEWIRE_LOG_FORMAT", "console", "Log lines for people or for machines.", "console or json"
    )

    metrics_token: str | None = _setting(
        "CASEWIRE_METRICS_TOKEN",
        None,
        "Bearer token by which a scraper reads `/metrics`. Unset: administrators alone can.",
        "at least 16 characters without a space, such as `openssl rand -hex 32` prints",
        pattern=r"^[!-~]{16,}$",
    )
    otlp_endpoint: Annotated[str, AfterValidator(values.otlp_endpoint)] | None = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "OpenTelemetry collector that traces are sent to, by OTLP over HTTP. Unset: they are sent nowhere.",
        "an address such as http://localhost:4318, without a user, a password or a query",
    )

    @model_validator(mode="after")
    def _a_wildcard_needs_a_public_address(self) -> Settings:
        if self.host in ("0.0.0.0", "::") and self.public_url is None:
            raise ValueError(
                f"CASEWIRE_HOST is {self.host}, so CASEWIRE_PUBLIC_URL is needed: set it to the address that "
                f"people type, for example http://192.168.1.10:{self.port}."
            )
        return self

    @property
    def reader_tools(self) -> dict[str, str]:
        """What the readers of files are told; paths are absolute."""
        return {
            "tessdata": str(self.tessdata or ""),
            "ocr_languages": self.ocr_languages,
            "whisper_model": str(self.whisper or ""),
        }

    @property
    def data_dir(self) -> Path:
        """Absolute path of the data folder."""
        return self.data.expanduser().absolute()

    @property
    def address(self) -> str:
        """Where a browser finds the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def origins(self) -> frozenset[str]:
        """Origins that requests and sockets may come from."""
        if self.public_url is None and self.host in ("127.0.0.1", "localhost", "::1"):
            return frozenset({self.address, f"http://localhost:{self.port}", f"http://127.0.0.1:{self.port}"})
        return frozenset({self.address})
