// Translates sentences by a batch, as it was done in April 2024: one request line per sentence,
// upload, create, poll, download, and the answers joined by custom_id, since they come in any order.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import OpenAI from 'openai';

const INSTRUCTION = 'あなたは英語翻訳者です。与えられらた文章の英訳のみを出力してください。';

const client = new OpenAI();
const examples = fs.readFileSync(process.argv[2], 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const sentences = new Map(
  examples.map((example, index) => [`request-${index + 1}`, example.body.messages[1].content]),
);

const lines = [...sentences].map(([custom_id, sentence]) =>
  JSON.stringify({
    custom_id,
    method: 'POST',
    url: '/v1/chat/completions',
    body: {
      model: 'gpt-3.5-turbo',
      messages: [
        { role: 'system', content: INSTRUCTION },
        { role: 'user', content: sentence },
      ],
    },
  }),
);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'translate-'));
const input = path.join(folder, 'translations.jsonl');
fs.writeFileSync(input, lines.join('\n') + '\n');

const file = await client.files.create({ file: fs.createReadStream(input), purpose: 'batch' });
fs.rmSync(folder, { recursive: true });

let batch = await client.batches.create({
  input_file_id: file.id,
  endpoint: '/v1/chat/completions',
  completion_window: '24h',
});
while (batch.status !== 'completed') {
  console.error(batch.status);
  if (['failed', 'expired', 'cancelled'].includes(batch.status)) process.exit(1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  batch = await client.batches.retrieve(batch.id);
}

const results = await (await client.files.content(batch.output_file_id)).text();
const translations = new Map(
  results
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map((result) => [result.custom_id, result.response.body.choices[0].message.content]),
);
for (const [custom_id, sentence] of sentences) {
  console.log(`${custom_id}:\n${sentence}\n->\n${translations.get(custom_id)}\n`);
}
