"""JSON Schemas of the bodies of requests and answers, for the OpenAPI description."""

from typing import Any

from batchsim.domain.endpoints import COMPLETION_WINDOW, ENDPOINTS
from batchsim.domain.files import UPLOAD_PURPOSES, Purpose
from batchsim.domain.lifecycle import Status
from batchsim.domain.limits import OPENAI
from batchsim.domain.models import KNOWN
from batchsim.wire.endpoints.uploads import LARGEST_UPLOAD

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "integer", "description": "Unix seconds"}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def always(value: str) -> Schema:
    return {"type": "string", "const": value}


def one_of(values: Any) -> Schema:
    return {"type": "string", "enum": [str(value) for value in values]}


def identifier(prefix: str) -> Schema:
    return {"type": "string", "pattern": f"^{prefix}"}


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def record(*, optional: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with those properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def page(entry: str) -> Schema:
    return record(
        object=always("list"),
        data={"type": "array", "items": reference(entry)},
        has_more={"type": "boolean"},
        first_id=or_null(TEXT),
        last_id=or_null(TEXT),
    )


_LIFETIME = record(
    anchor=always("created_at"),
    seconds={
        "type": "integer",
        "minimum": OPENAI.shortest_file_lifetime,
        "maximum": OPENAI.longest_file_lifetime,
    },
)

_METADATA: Schema = {
    "type": "object",
    "maxProperties": OPENAI.metadata_pairs,
    "propertyNames": {"maxLength": OPENAI.metadata_key_characters},
    "additionalProperties": {"type": "string", "maxLength": OPENAI.metadata_value_characters},
}

_FILE = record(
    object=always("file"),
    id=TEXT,
    purpose=one_of(Purpose),
    filename=TEXT,
    bytes=COUNT,
    created_at=TIME,
    expires_at=or_null(TIME),
    status=one_of(("uploaded", "processed", "error")),
    status_details=or_null(TEXT),
)

_BATCH_ERROR = record(
    code=TEXT, message=TEXT, param=or_null(TEXT), line=or_null({"type": "integer"})
)

_USAGE = record(
    input_tokens=COUNT,
    output_tokens=COUNT,
    total_tokens=COUNT,
    input_tokens_details=record(cached_tokens=COUNT),
    output_tokens_details=record(reasoning_tokens=COUNT),
)

_TIMES = (
    *("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at"),
    *("expired_at", "cancelling_at", "cancelled_at"),
)

_BATCH = record(
    id=TEXT,
    object=always("batch"),
    endpoint=one_of(ENDPOINTS),
    model=or_null(TEXT),
    errors=or_null(record(object=always("list"), data={"type": "array", "items": _BATCH_ERROR})),
    input_file_id=TEXT,
    completion_window=always(COMPLETION_WINDOW),
    status=one_of(Status),
    output_file_id=or_null(TEXT),
    error_file_id=or_null(TEXT),
    created_at=TIME,
    **{name: or_null(TIME) for name in _TIMES},
    request_counts=record(total=COUNT, completed=COUNT, failed=COUNT),
    usage=_USAGE,
    metadata=or_null(_METADATA),
    optional=("model", "usage"),
)

_UPLOAD = record(
    id=TEXT,
    object=always("upload"),
    bytes=COUNT,
    created_at=TIME,
    filename=TEXT,
    purpose=one_of(UPLOAD_PURPOSES),
    status=one_of(("pending", "completed", "cancelled", "expired")),
    expires_at=TIME,
    file=or_null(reference("File")),
)

_BYTES: Schema = {"type": "string", "format": "binary"}

_MESSAGE: Schema = {
    "type": "object",
    "properties": {"role": one_of(("system", "user", "assistant")), "content": TEXT},
    "required": ["role", "content"],
}


def _request(**properties: Schema) -> Schema:
    """The parameters that a single request must have. It may have more."""
    return {
        "type": "object",
        "properties": {"model": one_of(KNOWN), **properties},
        "required": ["model", *properties],
    }


SCHEMAS: dict[str, Schema] = {
    "File": _FILE,
    "FileList": page("File"),
    "FileDeletion": record(object=always("file"), id=TEXT, deleted={"type": "boolean"}),
    "FileForm": record(
        purpose=one_of(UPLOAD_PURPOSES),
        file=_BYTES,
        optional=("expires_after[anchor]", "expires_after[seconds]"),
        **{
            "expires_after[anchor]": _LIFETIME["properties"]["anchor"],
            "expires_after[seconds]": _LIFETIME["properties"]["seconds"],
        },
    ),
    "Batch": _BATCH,
    "BatchList": page("Batch"),
    "BatchRequest": record(
        input_file_id=identifier("file-"),
        endpoint=one_of(ENDPOINTS),
        completion_window=always(COMPLETION_WINDOW),
        metadata=or_null(_METADATA),
        output_expires_after=or_null(_LIFETIME),
        optional=("metadata", "output_expires_after"),
    ),
    "Upload": _UPLOAD,
    "UploadRequest": record(
        bytes={"type": "integer", "minimum": 1, "maximum": LARGEST_UPLOAD},
        filename=TEXT,
        mime_type=TEXT,
        purpose=one_of(UPLOAD_PURPOSES),
        expires_after=or_null(_LIFETIME),
        optional=("expires_after",),
    ),
    "UploadPart": record(id=TEXT, object=always("upload.part"), created_at=TIME, upload_id=TEXT),
    "PartForm": record(data=_BYTES),
    "UploadCompletion": record(
        part_ids={"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
        md5=or_null(TEXT),
        optional=("md5",),
    ),
    "Model": record(id=TEXT, object=always("model"), created=TIME, owned_by=TEXT),
    "ModelList": record(object=always("list"), data={"type": "array", "items": reference("Model")}),
    "ChatRequest": _request(messages={"type": "array", "items": _MESSAGE, "minItems": 1}),
    "ResponseRequest": _request(input=TEXT),
    "EmbeddingRequest": _request(input={"type": "string", "minLength": 1}),
    "ModerationRequest": {**_request(input=TEXT), "required": ["input"]},
    "CompletionRequest": _request(prompt=TEXT),
    "Answer": {"type": "object"},
    "Error": {
        "type": "object",
        "properties": {
            "error": record(
                message=TEXT, type=or_null(TEXT), param=or_null(TEXT), code=or_null(TEXT)
            )
        },
        "required": ["error"],
    },
}
