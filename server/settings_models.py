"""The settings of models: which servers write, read and embed, and by which of their models."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, model_validator
from pydantic_settings import BaseSettings

from handlers.models import host_name
from server import setting_values as values
from server.setting_fields import setting, whole


class ModelSettings(BaseSettings):
    """The part of the settings that is about models; see `server.settings.Settings`."""

    ollama_host: Annotated[str, AfterValidator(values.http_host)] | None = setting(
        "OLLAMA_HOST",
        None,
        "Ollama server that writes answers and reads evidence for names, unless `OPENAI_BASE_URL` does. With "
        "neither, answers are quotations, and no text leaves the machine.",
        "an address such as http://localhost:11434, without a user or a password",
    )
    openai_base_url: Annotated[str, AfterValidator(values.model_url)] | None = setting(
        "OPENAI_BASE_URL",
        None,
        "Server with OpenAI's interface (llama.cpp, vLLM, OpenAI …) that writes answers and reads evidence.",
        "an address such as http://localhost:8080/v1, without a user or a password",
    )
    openai_api_key: str | None = setting(
        "OPENAI_API_KEY", None, "Key for `OPENAI_BASE_URL`, if it wants one.", "a key", pattern=r"^\S+$"
    )
    language_model: str = setting(
        "CASEWIRE_LANGUAGE_MODEL",
        "gemma3",
        "Model asked at `OPENAI_BASE_URL` or `OLLAMA_HOST`.",
        "the name of a model that the server has",
        min_length=1,
        pattern=r"^\S+$",
    )
    embedding_model: str | None = setting(
        "CASEWIRE_EMBEDDING_MODEL",
        None,
        "Embedding model at `OLLAMA_HOST`, such as nomic-embed-text; with data already there run `casewire "
        "rebuild embeddings` afterwards. Unset: all-MiniLM-L6-v2 on this machine.",
        "the name of an embedding model that the Ollama server has",
        min_length=1,
        pattern=r"^\S+$",
    )
    local_hosts: Annotated[str, AfterValidator(values.local_hosts)] | None = setting(
        "CASEWIRE_LOCAL_HOSTS",
        None,
        "Hosts of models that are as good as this machine, such as `ollama` of the same compose file: text "
        "of a case goes there without asking its owner. Unset: none; a private address alone is no reason.",
        "names or IP addresses between commas, without scheme or port, such as ollama,10.0.0.7",
    )
    num_ctx: int = setting(
        "CASEWIRE_NUM_CTX",
        8192,
        "Context window requested from the language model, in tokens.",
        whole(1024, 1 << 20),
        ge=1024,
        le=1 << 20,
    )

    @property
    def trusted_hosts(self) -> frozenset[str]:
        """`local_hosts`, apart."""
        return frozenset(host_name(one.strip()) for one in (self.local_hosts or "").split(",") if one)

    @model_validator(mode="after")
    def _models_have_servers(self) -> ModelSettings:
        if self.embedding_model is not None and self.ollama_host is None:
            raise ValueError(
                "CASEWIRE_EMBEDDING_MODEL needs a server: set OLLAMA_HOST to the Ollama that has the model, "
                "or unset CASEWIRE_EMBEDDING_MODEL."
            )
        if self.openai_api_key is not None and self.openai_base_url is None:
            raise ValueError(
                "OPENAI_API_KEY is set, but no server: set OPENAI_BASE_URL to the server that the key is "
                "for, or unset OPENAI_API_KEY."
            )
        return self
