"""Services that speak this API, each as a value: where it is, its key, and where it differs.

Only services with the shape of this API are here: a file is uploaded, a batch is made of it, and
its result files are read. Odd answers need no profile, since every answer is read leniently:
statuses in capitals or in other words, "" for null, milliseconds or ISO 8601 for unix seconds
(batchsim.domain.coercion, batchsim.domain.batches).

The figures are those of the services' own documents in autumn 2026, and otherwise OpenAI's.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from types import MappingProxyType

from batchsim.domain.limits import OPENAI, Limits
from batchsim.errors import UsageError


@dataclass(frozen=True, slots=True)
class Provider:
    """A service, and how its requests differ from OpenAI's.

    - `base_url`: None where every customer has an address of their own; `base_url_variable` is the
      environment variable that may hold it, `base_url_path` what it may leave out at its end.
    - `key_variable`: the environment variable that holds the key. No other key is ever sent there.
    - `key_header`: a header that carries the key besides `Authorization`.
    - `purpose`: the purpose that an upload for a batch names.
    - `endpoints`: those that batches may run, where they are known to be fewer than OpenAI's.
    - `prepares_files`: wait for an uploaded file before a batch is made of it.
    - `lists_bare`: a list comes without an object around it.
    - `keeps_files_elsewhere`: the content of an upload goes to another place (together_upload).
    - `limits`: what one batch may hold.
    """

    name: str
    title: str
    key_variable: str
    base_url: str | None = None
    endpoints: frozenset[str] | None = None
    limits: Limits = OPENAI
    _: KW_ONLY
    base_url_variable: str | None = None
    base_url_path: str = ""
    key_header: str | None = None
    purpose: str = "batch"
    prepares_files: bool = False
    lists_bare: bool = False
    keeps_files_elsewhere: bool = False
    has_openai_models: bool = False


def _limits(requests: int, megabytes: int) -> Limits:
    return replace(OPENAI, requests_per_batch=requests, input_file_bytes=megabytes * 1_000_000)


_CHAT = frozenset({"/v1/chat/completions"})
_100_MB, _500_MB = _limits(50_000, 100), _limits(50_000, 500)

_SERVICES = (
    Provider(
        "openai",
        "OpenAI",
        "OPENAI_API_KEY",
        "https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        has_openai_models=True,
    ),
    # The model is the name of a deployment of the type Global Batch. Its newest reference
    # says 50,000 lines, its guide 100,000: the smaller figure is safe.
    Provider(
        "azure",
        "Azure OpenAI",
        "AZURE_OPENAI_API_KEY",
        base_url_variable="AZURE_OPENAI_ENDPOINT",
        base_url_path="/openai/v1",
        key_header="api-key",
        prepares_files=True,
    ),
    Provider("groq", "Groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1", _CHAT, _100_MB),
    Provider(
        "together",
        "Together AI",
        "TOGETHER_API_KEY",
        "https://api.together.xyz/v1",
        _CHAT,
        _100_MB,
        purpose="batch-api",
        lists_bare=True,
        keeps_files_elsewhere=True,
    ),
    Provider("deepinfra", "DeepInfra", "DEEPINFRA_API_KEY", "https://api.deepinfra.com/v1/openai"),
    Provider(
        "nebius", "Nebius Token Factory", "NEBIUS_API_KEY", "https://api.tokenfactory.nebius.com/v1"
    ),
    Provider(
        "parasail", "Parasail", "PARASAIL_API_KEY", "https://api.parasail.io/v1", limits=_500_MB
    ),
    Provider(
        "siliconflow",
        "SiliconFlow",
        "SILICONFLOW_API_KEY",
        "https://api.siliconflow.cn/v1",
        _CHAT,
        _limits(5_000, 1_000),
    ),
    Provider(
        "moonshot", "Moonshot AI", "MOONSHOT_API_KEY", "https://api.moonshot.cn/v1", _CHAT, _100_MB
    ),
    Provider(
        "dashscope",
        "Alibaba Cloud Model Studio",
        "DASHSCOPE_API_KEY",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        limits=_100_MB,
    ),
    Provider(
        "novita",
        "Novita AI",
        "NOVITA_API_KEY",
        "https://api.novita.ai/openai/v1",
        _CHAT | {"/v1/completions"},
        _100_MB,
    ),
    Provider(
        "mistral-compatible",
        "a service with Mistral's words for the statuses",
        "OPENAI_API_KEY",
        base_url_variable="OPENAI_BASE_URL",
    ),
    Provider(
        "compatible", "a compatible service", "OPENAI_API_KEY", base_url_variable="OPENAI_BASE_URL"
    ),
)

PROVIDERS: Mapping[str, Provider] = MappingProxyType({each.name: each for each in _SERVICES})
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
