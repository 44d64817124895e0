// A batch of embeddings.
import OpenAI, { toFile } from 'openai';
import { poll } from './poll.mjs';

const client = new OpenAI({ maxRetries: 0 });
const lines = ['alpha', 'beta'].map((input) =>
  JSON.stringify({
    custom_id: input,
    method: 'POST',
    url: '/v1/embeddings',
    body: { model: 'text-embedding-3-small', input },
  }),
);
const file = await client.files.create({
  file: await toFile(Buffer.from(lines.join('\n')), 'embeddings.jsonl'),
  purpose: 'batch',
});
const { batch } = await poll(
  client,
  await client.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/embeddings',
    completion_window: '24h',
  }),
);
const content = await (await client.files.content(batch.output_file_id)).text();
const sizes = {};
for (const line of content.trim().split('\n')) {
  const { custom_id, response } = JSON.parse(line);
  sizes[custom_id] = response.body.data[0].embedding.length;
}
console.log(JSON.stringify(sizes));
