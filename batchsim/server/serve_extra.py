"""Check for the packages of `batchsim[serve]` before anything of the server is imported."""

from batchsim.errors import MissingExtra


def check_serve_extra() -> None:
    """Raise MissingExtra unless all packages of `batchsim[serve]` are installed."""
    try:
        import httptools  # noqa: F401
        import multipart  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"serving needs the package {error.name}, which is not installed",
            hint="pip install 'batchsim[serve]'",
        ) from None
