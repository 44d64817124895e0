// A file comes in parts and becomes the input of a batch.
import OpenAI, { toFile } from 'openai';
import { poll } from './poll.mjs';
import { inputFile } from './start.mjs';

const client = new OpenAI({ maxRetries: 0 });
const content = inputFile(50);
const upload = await client.uploads.create({
  filename: 'input.jsonl',
  bytes: content.length,
  mime_type: 'application/jsonl',
  purpose: 'batch',
});
const part_ids = [];
for (let start = 0; start < content.length; start += 2_000) {
  const data = await toFile(content.subarray(start, start + 2_000), 'part');
  part_ids.push((await client.uploads.parts.create(upload.id, { data })).id);
}
const completed = await client.uploads.complete(upload.id, { part_ids });
const { batch } = await poll(
  client,
  await client.batches.create({
    input_file_id: completed.file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  }),
);
console.log(
  JSON.stringify({
    statuses: [upload.status, completed.status],
    parts: part_ids.length,
    counts: batch.request_counts,
  }),
);
