"""Services that speak this API, each as a value: where it is, its key, and where it differs.

Only services with the shape of this API are here: a file is uploaded, a batch made of it, and its
result files are read. How answers are spelt needs no profile, since every answer is read with
patience: statuses in capitals or in other words, "" for null, milliseconds or ISO 8601 for unix
seconds, an error file without a line (batchsim.domain.coercion, batchsim.domain.batches).

The figures are those of the services' own documents as of autumn 2026; where those are silent, they
are OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from batchsim.domain.limits import OPENAI, Limits
from batchsim.errors import UsageError

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A service, and how its requests differ from OpenAI's.

    - `base_url`: None where every customer has an address of his own; `base_url_variable` is the
      environment variable that may hold it, `base_url_path` what it may leave out at its end.
    - `key_variable`: the environment variable that holds the key. No other key is ever sent there.
    - `key_header`: a header that carries the key besides `Authorization`.
    - `purpose`: what an upload for a batch names as its purpose.
    - `endpoints`: those that batches may run, where they are known to be fewer than OpenAI's.
    - `prepares_files`: whether an uploaded file must be waited for before a batch is made of it.
    - `lists_bare`: whether a list comes without an object around it.
    - `keeps_files_elsewhere`: whether the content of an upload goes to another place.
    - `limits`: what one batch may hold.
    """

    name: str
    title: str
    base_url: str | None = None
    base_url_variable: str | None = None
    base_url_path: str = ""
    key_variable: str
    key_header: str | None = None
    purpose: str = "batch"
    endpoints: frozenset[str] | None = None
    prepares_files: bool = False
    lists_bare: bool = False
    keeps_files_elsewhere: bool = False
    limits: Limits = OPENAI
    has_openai_models: bool = False


def _limits(requests: int, megabytes: int) -> Limits:
    return replace(OPENAI, requests_per_batch=requests, input_file_bytes=megabytes * 1_000_000)


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        each.name: each
        for each in (
            Provider(
                name="openai",
                title="OpenAI",
                base_url="https://api.openai.com/v1",
                base_url_variable="OPENAI_BASE_URL",
                key_variable="OPENAI_API_KEY",
                has_openai_models=True,
            ),
            # The model is the name of a deployment of the type Global Batch. Its newest reference
            # says 50,000 lines, its guide 100,000: the smaller figure is safe.
            Provider(
                name="azure",
                title="Azure OpenAI",
                base_url_variable="AZURE_OPENAI_ENDPOINT",
                base_url_path="/openai/v1",
                key_variable="AZURE_OPENAI_API_KEY",
                key_header="api-key",
                prepares_files=True,
            ),
            Provider(
                name="groq",
                title="Groq",
                base_url="https://api.groq.com/openai/v1",
                key_variable="GROQ_API_KEY",
                endpoints=frozenset({CHAT}),
                limits=_limits(50_000, 100),
            ),
            Provider(
                name="together",
                title="Together AI",
                base_url="https://api.together.xyz/v1",
                key_variable="TOGETHER_API_KEY",
                purpose="batch-api",
                endpoints=frozenset({CHAT}),
                lists_bare=True,
                keeps_files_elsewhere=True,
                limits=_limits(50_000, 100),
            ),
            Provider(
                name="deepinfra",
                title="DeepInfra",
                base_url="https://api.deepinfra.com/v1/openai",
                key_variable="DEEPINFRA_API_KEY",
            ),
            Provider(
                name="nebius",
                title="Nebius Token Factory",
                base_url="https://api.tokenfactory.nebius.com/v1",
                key_variable="NEBIUS_API_KEY",
            ),
            Provider(
                name="parasail",
                title="Parasail",
                base_url="https://api.parasail.io/v1",
                key_variable="PARASAIL_API_KEY",
                limits=_limits(50_000, 500),
            ),
            Provider(
                name="siliconflow",
                title="SiliconFlow",
                base_url="https://api.siliconflow.cn/v1",
                key_variable="SILICONFLOW_API_KEY",
                endpoints=frozenset({CHAT}),
                limits=_limits(5_000, 1_000),
            ),
            Provider(
                name="moonshot",
                title="Moonshot AI",
                base_url="https://api.moonshot.cn/v1",
                key_variable="MOONSHOT_API_KEY",
                endpoints=frozenset({CHAT}),
                limits=_limits(50_000, 100),
            ),
            Provider(
                name="dashscope",
                title="Alibaba Cloud Model Studio",
                base_url="https://dashscope.aliyuncs.com/compatible-mode/v1",
                key_variable="DASHSCOPE_API_KEY",
                limits=_limits(50_000, 100),
            ),
            Provider(
                name="novita",
                title="Novita AI",
                base_url="https://api.novita.ai/openai/v1",
                key_variable="NOVITA_API_KEY",
                endpoints=frozenset({CHAT, "/v1/completions"}),
                limits=_limits(50_000, 100),
            ),
            Provider(
                name="mistral-compatible",
                title="a service with Mistral's words for the statuses",
                base_url_variable="OPENAI_BASE_URL",
                key_variable="OPENAI_API_KEY",
            ),
            Provider(
                name="compatible",
                title="a compatible service",
                base_url_variable="OPENAI_BASE_URL",
                key_variable="OPENAI_API_KEY",
            ),
        )
    }
)
"""The services by the names that `--provider` takes."""

_OTHERS = MappingProxyType(
    {
        "mistral": "its jobs lie at /v1/batch/jobs and take a model and several files",
        "fireworks": "it has datasets and batchInferenceJobs",
        "xai": "its results are paged and it has no files",
        "openrouter": "its requests lie in the call that makes the batch",
        "anthropic": "its message batches have no files",
        "google": "its batch jobs are not OpenAI's",
        "zhipu": "its lines name /v4/chat/completions",
    }
)
"""Services that are often asked for and whose batches are another API, and why."""


def provider_of(name: str | Provider | None) -> Provider:
    """The service of that name; OpenAI for None. Raises UsageError for one that is not known."""
    if isinstance(name, Provider):
        return name
    known = PROVIDERS.get("openai" if name is None else name)
    if known is not None:
        return known
    if name is not None and name in _OTHERS:
        raise UsageError(
            f"the batches of {name} are another API: {_OTHERS[name]}",
            hint="behind a proxy that speaks OpenAI's API it is `compatible`, with a base URL",
        )
    raise UsageError(
        f"there is no provider {name!r}",
        hint=f"choose one of {', '.join(PROVIDERS)}; any other service is `compatible`",
    )
