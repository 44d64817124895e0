"""What is peculiar to the endpoints other than chat completions."""

import base64
import json
import math
import struct

import pytest

from batchsim.responders.endpoints.moderations import CATEGORIES
from batchsim.responders.simulated import simulated, with_text


def body_of(answer):
    assert answer.status_code == 200, answer.body
    return json.loads(answer.body)


def error_of(answer):
    assert answer.usage.total_tokens == 0
    return answer.status_code, json.loads(answer.body)["error"]


@pytest.fixture
def embed(line, occasion):
    def embed(value, model="text-embedding-3-small", **parameters):
        body = {"model": model, "input": value, **parameters}
        return simulated(line("/v1/embeddings", body), occasion)

    return embed


def vectors(answer):
    return [each["embedding"] for each in body_of(answer)["data"]]


@pytest.mark.parametrize(
    ("model", "dimensions"),
    [
        ("text-embedding-3-small", 1536),
        ("text-embedding-3-large", 3072),
        ("text-embedding-ada-002", 1536),
    ],
)
def test_embeddings_have_the_models_length_and_norm_1(embed, model, dimensions):
    [vector] = vectors(embed("Hello", model=model))
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dimensions", [1, 2, 7, 256, 1009, 1536])
def test_row_139_embeddings_have_the_dimensions_asked_for(embed, dimensions):
    [vector] = vectors(embed("Hello", dimensions=dimensions))
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-3)


def test_equal_texts_have_equal_vectors_and_others_are_nearly_at_right_angles(
    line, occasions, embed
):
    body = {"model": "text-embedding-3-small", "input": "Hello"}
    request = line("/v1/embeddings", body)
    assert len({simulated(request, each) for each in occasions(5)}) == 1
    first, again, other = vectors(embed(["Hello", "Hello", "Hello!"]))
    assert first == again
    assert abs(sum(a * b for a, b in zip(first, other, strict=True))) < 0.15


def test_base64_holds_the_same_numbers(embed):
    [vector] = vectors(embed("Hello", dimensions=7))
    [text] = vectors(embed("Hello", dimensions=7, encoding_format="base64"))
    assert list(struct.unpack("<7f", base64.b64decode(text))) == vector


@pytest.mark.parametrize(
    ("value", "count", "tokens"),
    [("Hello", 1, 2), (["Hello", "Bye"], 2, 3), ([1, 2, 3], 1, 3), ([[1, 2, 3], [4]], 2, 4)],
    ids=str,
)
def test_every_form_of_input_is_counted(embed, value, count, tokens):
    answer = embed(value)
    assert [each["index"] for each in body_of(answer)["data"]] == list(range(count))
    assert body_of(answer)["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert body_of(answer)["model"] == "text-embedding-3-small"


@pytest.mark.parametrize("value", ["", [], ["a", ""], [[]], 3, None, [None], ["a"] * 2049], ids=str)
def test_an_empty_or_odd_embedding_input_is_a_400_line(embed, value):
    status_code, error = error_of(embed(value))
    assert status_code == 400
    assert error["message"].startswith("'$.input' is invalid.")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"value": [7] * 8193}, "This model's maximum context length is 8192 tokens, however"),
        ({"value": "a", "dimensions": 2000}, "Invalid value for 'dimensions' = 2000."),
        ({"value": "a", "dimensions": 0}, "Invalid 'dimensions': integer below minimum value."),
        ({"value": "a", "encoding_format": "hex"}, "Invalid value: 'hex'. Supported values are:"),
        (
            {"value": "a", "model": "text-embedding-ada-002", "dimensions": 5},
            "This model does not support specifying dimensions.",
        ),
    ],
    ids=["too long", "too many", "none", "hex", "ada"],
)
def test_embedding_parameters_out_of_range_are_400_lines(embed, parameters, message):
    status_code, error = error_of(embed(**parameters))
    assert status_code == 400
    assert error["message"].startswith(message)


def test_row_135_an_incomplete_response_is_a_200(response, occasion):
    request = response("A long story, please", model="gpt-4o", max_output_tokens=16)
    answer = simulated(response("x" * 80, model="gpt-4o", max_output_tokens=16), occasion)
    body = body_of(answer)
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["completed_at"] is None
    assert body["output"][0]["status"] == "incomplete"
    assert body["usage"]["output_tokens"] == 16
    assert body_of(simulated(request, occasion))["status"] == "completed"


def test_a_response_that_only_thinks_has_no_message(response, occasion):
    body = body_of(simulated(response(max_output_tokens=20), occasion))
    assert [item["type"] for item in body["output"]] == ["reasoning"]
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 20}


def test_the_ids_of_a_response_share_a_prefix_and_hold_the_time(response, occasion):
    body = body_of(simulated(response(), occasion))
    ids = [body["id"], *(item["id"] for item in body["output"])]
    assert [each.partition("_")[0] for each in ids] == ["resp", "rs", "msg"]
    digits = [each.partition("_")[2] for each in ids]
    assert {len(each) for each in digits} == {50}
    assert len({each[:26] for each in digits}) == 1
    assert int(digits[0][18:26], 16) == body["created_at"]
    assert len(set(digits)) == 3


def test_a_response_repeats_what_it_was_asked(response, occasion):
    asked = {
        "instructions": "Be kind",
        "temperature": 1,
        "metadata": {"é": "b"},
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "low"},
        "store": False,
    }
    body = body_of(simulated(response(**asked), occasion))
    expected = {
        **asked,
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "reasoning": {"context": None, "effort": "low", "mode": None, "summary": None},
    }
    assert {name: body[name] for name in asked} == expected


def test_a_response_with_a_schema_has_json_in_its_text(response, occasion):
    schema = {"type": "object", "properties": {"a": {"enum": [7]}}, "required": ["a"]}
    form = {"type": "json_schema", "name": "x", "schema": schema}
    body = body_of(simulated(response(text={"format": form}), occasion))
    assert json.loads(body["output"][-1]["content"][0]["text"]) == {"a": 7}


IMAGE = {"type": "input_image", "image_url": {"url": "https://example.com/a.png"}}


@pytest.mark.parametrize(
    ("parameters", "param", "code", "message"),
    [
        (
            {"max_output_tokens": 10},
            "max_output_tokens",
            "integer_below_min_value",
            (
                "Invalid 'max_output_tokens': integer below minimum value. "
                "Expected a value >= 16, but got 10 instead."
            ),
        ),
        (
            {"value": [{"role": "user", "content": [{"type": "input_text", "text": ""}, IMAGE]}]},
            "input[0].content[1].image_url",
            "invalid_type",
            (
                "Invalid type for 'input[0].content[1].image_url': expected an image URL, "
                "but got an object instead."
            ),
        ),
        (
            {"temperature": 0.2},
            "temperature",
            "unsupported_parameter",
            "Unsupported parameter: 'temperature' is not supported with this model.",
        ),
        (
            {"value": 3},
            "input",
            "invalid_type",
            (
                "Invalid type for 'input': expected one of a string or array of objects, "
                "but got an integer instead."
            ),
        ),
        (
            {"value": ["Hi"]},
            "input[0]",
            "invalid_type",
            "Invalid type for 'input[0]': expected an object, but got a string instead.",
        ),
        (
            {"max_output_tokens": 200_000},
            "max_output_tokens",
            "invalid_value",
            (
                "max_output_tokens is too large: 200000. This model supports at most 128000 "
                "completion tokens, whereas you provided 200000."
            ),
        ),
    ],
    ids=["minimum", "image", "temperature", "type", "item", "maximum"],
)
def test_row_123_a_response_parameter_out_of_range_is_a_400_line(
    response, occasion, parameters, param, code, message
):
    assert error_of(simulated(response(**parameters), occasion)) == (
        400,
        {"message": message, "type": "invalid_request_error", "param": param, "code": code},
    )


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("Hi", ["Hi"]),
        (["Hi", "Bye"], ["Hi", "Bye"]),
        ([1, 2, 3], ["3 tokens"]),
        ([[1], [2, 3]], ["1 tokens", "2 tokens"]),
    ],
    ids=str,
)
def test_a_completion_has_a_choice_per_prompt(line, occasion, prompt, texts):
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": prompt}
    choices = body_of(simulated(line("/v1/completions", body), occasion))["choices"]
    assert [each["text"] for each in choices] == [f"[simulated] An answer to: {t}" for t in texts]


def test_a_completion_is_cut_at_16_tokens_unless_told_otherwise(line, occasion):
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": "x" * 80}
    answer = simulated(line("/v1/completions", body), occasion)
    assert body_of(answer)["choices"][0]["finish_reason"] == "length"
    assert answer.usage.output_tokens == 16
    more = simulated(line("/v1/completions", {**body, "max_tokens": 99}), occasion)
    assert body_of(more)["choices"][0]["finish_reason"] == "stop"


def test_a_completion_can_begin_with_its_prompt(line, occasion):
    body = {"model": "davinci-002", "prompt": "Hi", "echo": True}
    [choice] = body_of(simulated(line("/v1/completions", body), occasion))["choices"]
    assert choice["text"] == "Hi[simulated] An answer to: Hi"


@pytest.mark.parametrize(
    ("url", "body", "code"),
    [
        ("/v1/completions", {"model": "davinci-002", "prompt": []}, "empty_array"),
        ("/v1/completions", {"model": "davinci-002", "prompt": {}}, "invalid_type"),
        (
            "/v1/completions",
            {"model": "davinci-002", "prompt": "a", "max_tokens": -1},
            "integer_below_min_value",
        ),
        ("/v1/moderations", {"input": []}, "empty_array"),
        ("/v1/moderations", {"input": 3}, "invalid_type"),
        ("/v1/moderations", {"input": [None]}, "invalid_type"),
        ("/v1/moderations", {"input": "a", "model": 3}, "invalid_type"),
        ("/v1/moderations", {"input": ["a", {"type": "text", "text": "a"}]}, "invalid_type"),
        (
            "/v1/images/generations",
            {"model": "gpt-image-1", "prompt": "a", "n": 11},
            "integer_above_max_value",
        ),
        ("/v1/images/edits", {"model": "gpt-image-1", "prompt": 3, "images": []}, "invalid_type"),
        ("/v1/images/edits", {"model": "gpt-image-1", "prompt": "a", "images": []}, "empty_array"),
        ("/v1/videos", {"model": "sora-2", "prompt": "a", "seconds": "9"}, "invalid_value"),
    ],
    ids=str,
)
def test_row_123_other_parameters_out_of_range_are_400_lines(line, occasion, url, body, code):
    status_code, error = error_of(simulated(line(url, body), occasion))
    assert (status_code, error["code"]) == (400, code)


def test_moderations_have_a_result_per_text_and_no_usage(line, occasion):
    answer = simulated(line("/v1/moderations", {"input": ["a", "b"]}), occasion)
    results = body_of(answer)["results"]
    assert [each["flagged"] for each in results] == [False, False]
    assert list(results[0]["category_scores"]) == list(CATEGORIES)
    assert results[0]["category_scores"] != results[1]["category_scores"]
    assert answer.usage.total_tokens == 0


def test_the_parts_of_one_moderation_input_have_one_result(line, occasion):
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]
    body = body_of(simulated(line("/v1/moderations", {"input": parts}), occasion))
    assert len(body["results"]) == 1


def test_a_text_for_a_moderation_lists_what_to_flag(line, occasion):
    request = line("/v1/moderations", {"input": "a"})
    [result] = body_of(with_text(request, occasion, "violence, hate"))["results"]
    assert result["flagged"] is True
    flagged = [name for name, is_flagged in result["categories"].items() if is_flagged]
    assert flagged == ["hate", "violence"]
    assert min(result["category_scores"][name] for name in flagged) > 0.9
    status_code, error = error_of(with_text(request, occasion, "rudeness"))
    assert (status_code, error["code"]) == (500, "unusable_answer")


def test_an_image_is_a_png_that_says_that_it_is_simulated(line, occasion):
    body = {"model": "gpt-image-1.5", "prompt": "A cat", "n": 2}
    answer = simulated(line("/v1/images/generations", body), occasion)
    images = [base64.b64decode(each["b64_json"]) for each in body_of(answer)["data"]]
    assert len(images) == 2
    assert images[0].startswith(b"\x89PNG\r\n\x1a\n")
    assert b"[simulated] An answer to: A cat" in images[0]
    assert answer.usage.output_tokens == 2 * 1056


def test_a_video_can_be_downloaded_for_a_day(line, occasion):
    body = body_of(simulated(line("/v1/videos", {"model": "sora-2", "prompt": "A cat"}), occasion))
    assert body["status"] == "completed"
    assert body["expires_at"] == body["completed_at"] + 86_400


def test_a_video_has_no_place_for_a_text(line, occasion):
    request = line("/v1/videos", {"model": "sora-2", "prompt": "A cat"})
    status_code, error = error_of(with_text(request, occasion, "A dog"))
    assert (status_code, error["code"]) == (500, "unusable_answer")


@pytest.mark.parametrize(
    ("url", "body", "place"),
    [
        ("/v1/completions", {"prompt": ["a", "b"]}, lambda body: body["choices"][1]["text"]),
        ("/v1/responses", {"input": "a"}, lambda body: body["output"][0]["content"][0]["text"]),
    ],
    ids=["completions", "responses"],
)
def test_a_given_text_is_the_answer(line, occasion, url, body, place):
    request = line(url, {"model": "gpt-5-nano", **body})
    assert place(body_of(with_text(request, occasion, "Given"))) == "Given"


def test_a_given_text_stands_for_the_input_of_an_embedding(line, occasion):
    body = {"model": "text-embedding-3-small", "dimensions": 4}
    given = with_text(line("/v1/embeddings", {**body, "input": "a"}), occasion, "b")
    own = simulated(line("/v1/embeddings", {**body, "input": "b"}), occasion)
    assert given == own


def test_a_given_text_is_in_the_image(line, occasion):
    request = line("/v1/images/generations", {"model": "gpt-image-1", "prompt": "a"})
    [image] = body_of(with_text(request, occasion, "Ein Hündchen"))["data"]
    assert "Ein Hündchen".encode() in base64.b64decode(image["b64_json"])
