"""What most programs look like. It has all five classic bugs, and works on a sunny day."""

import json
import time

from openai import OpenAI


def run(lines):
    client = OpenAI()
    content = "\n".join(json.dumps(line) for line in lines).encode()
    file = client.files.create(file=("input.jsonl", content), purpose="batch")
    batch = client.batches.create(  # the client itself creates again after a time-out
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        time.sleep(1)
        batch = client.batches.retrieve(batch.id)
    if batch.status != "completed":  # expired is nothing
        return []
    text = client.files.content(batch.output_file_id).text  # all of it in memory, no error file
    results = [json.loads(line) for line in text.splitlines()]
    return [  # in the order in which they came
        result["response"]["body"]["choices"][0]["message"]["content"] for result in results
    ]
