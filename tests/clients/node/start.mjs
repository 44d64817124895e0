// Starts a batch of chat completions from a buffer that never was a file.
import { toFile } from 'openai';

export function inputFile(count) {
  const lines = Array.from({ length: count }, (_, index) =>
    JSON.stringify({
      custom_id: `request-${index + 1}`,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] },
    }),
  );
  return Buffer.from(lines.join('\n') + '\n');
}

export async function upload(client, content) {
  return client.files.create({ file: await toFile(content, 'input.jsonl'), purpose: 'batch' });
}

export async function start(client, count) {
  const file = await upload(client, inputFile(count));
  return client.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  });
}
