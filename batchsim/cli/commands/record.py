"""`batchsim record`: a proxy to a real service that writes its answers on a cassette."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsim.amounts import counted
from batchsim.cli.commands.serve import until_stopped
from batchsim.cli.options.backend import chosen_provider, provider_option
from batchsim.cli.options.groups import examples
from batchsim.cli.terminal.exit_codes import ALL_GOOD
from batchsim.errors import AuthenticationFailed, UsageError

if TYPE_CHECKING:
    from batchsim.backends.openai.providers import Provider


@click.command(
    epilog=examples(
        "record --upstream https://api.openai.com/v1",
        "record --provider azure --cassette azure.jsonl",
    )
)
@click.option(
    "--upstream",
    metavar="URL",
    help="The service [default: OPENAI_BASE_URL, or that of --provider]; for OpenAI, "
    "https://api.openai.com/v1.",
)
@click.option(
    "--cassette",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=Path("cassette.jsonl"),
    show_default=True,
    help="The file to which the recordings are added.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8_000,
    show_default=True,
    help="The port on this machine; 0 takes any free one.",
)
@provider_option
@click.option(
    "--forward-auth",
    is_flag=True,
    help="Send the clients' own keys upstream, instead of OPENAI_API_KEY or the provider's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address and the key as JSON.")
def record(
    *, upstream: str | None, cassette: Path, port: int, forward_auth: bool, as_json: bool
) -> int:
    """Pass requests on to a real service, and record its answers.

    Point clients at the address that is printed. Direct answers are recorded at once, the lines of
    a batch when its result files are downloaded. The fake then answers from the cassette:
    FakeBackend(responder="cassette.jsonl").

    No header is written, and keys and account names are removed from the bodies. Prompts and
    answers are written as they are. Requests cost what they always cost. HTTPS_PROXY and NO_PROXY
    are used, but never for addresses on this machine. Both kinds of Azure's paths are served.
    """
    from batchsim.server.serve_extra import check_serve_extra

    check_serve_extra()
    from batchsim.backends.openai.providers import provider_of
    from batchsim.server.log import log_on_stderr
    from batchsim.server.process_limits import limit_process
    from batchsim.server.recording_proxy import RecordingProxy
    from batchsim.server.serve import running

    provider = chosen_provider() or provider_of(None)
    upstream = _upstream(upstream, provider)
    key = None if forward_auth else _own_key(provider)
    limit_process()
    with ExitStack() as stack:
        recorder = RecordingProxy(upstream, cassette, api_key=key)
        stack.callback(recorder.close)
        stack.enter_context(log_on_stderr((key or "",)))
        stopped = stack.enter_context(until_stopped())
        address = stack.enter_context(running(recorder, port=port))
        by = f" (by the proxy {recorder.proxy})" if recorder.proxy else ""
        click.echo(
            f"Recording {upstream}{by} on {cassette} until Ctrl-C. Point clients here:", err=True
        )
        _print_address(address, provider, has_key=bool(key), as_json=as_json)
        try:
            stopped.wait()
        finally:
            click.echo(f"{counted(recorder.recorded, 'recording')} on {cassette}", err=True)
    return ALL_GOOD


def _print_address(address: str, provider: Provider, *, has_key: bool, as_json: bool) -> None:
    """Print the address for clients and the key to give; null where they need their own."""
    if as_json:
        value = {"base_url": f"{address}/v1", "api_key": "sk-any" if has_key else None}
        return click.echo(json.dumps(value))
    click.echo(f"export OPENAI_BASE_URL={address}/v1")
    if has_key:
        click.echo("export OPENAI_API_KEY=sk-any")
    if provider.name == "azure":
        click.echo(f"export AZURE_OPENAI_ENDPOINT={address}")
    return None


def _upstream(given: str | None, provider: Provider) -> str:
    from batchsim.backends.openai.connection import address_of

    if not (given or chosen_provider() or os.environ.get("OPENAI_BASE_URL")):
        raise UsageError(
            "there is no upstream", hint="for OpenAI: --upstream https://api.openai.com/v1"
        )
    return address_of(given, provider)


def _own_key(provider: Provider) -> str:
    from batchsim.backends.openai.connection import key_of

    try:
        return key_of(None, provider)
    except AuthenticationFailed as error:
        raise UsageError(
            f"{error.message}, to be sent upstream",
            hint=f"{error.hint}, or let clients use theirs: --forward-auth",
        ) from None
