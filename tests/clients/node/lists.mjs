// Lists page by themselves.
import OpenAI from 'openai';
import { start } from './start.mjs';

const client = new OpenAI({ maxRetries: 0 });
const batches = [];
for (let index = 0; index < 5; index += 1) batches.push(await start(client, 1));

const listed = { batches: [], files: [] };
for await (const batch of client.batches.list({ limit: 2 })) listed.batches.push(batch.id);
for await (const file of client.files.list({ limit: 2, order: 'asc', purpose: 'batch' })) listed.files.push(file.id);
const page = await client.batches.list({ limit: 3 });
const next = await page.getNextPage();
console.log(
  JSON.stringify({
    made: {
      batches: batches.map((batch) => batch.id),
      files: batches.map((batch) => batch.input_file_id),
    },
    listed,
    sizes: [page.data.length, next.data.length],
    more: [page.hasNextPage(), next.hasNextPage()],
  }),
);
