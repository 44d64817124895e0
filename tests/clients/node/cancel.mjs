// A batch that is cancelled early ends cancelled.
import OpenAI from 'openai';
import { poll } from './poll.mjs';
import { start } from './start.mjs';

const client = new OpenAI({ maxRetries: 0 });
const asked = await client.batches.cancel((await start(client, 10)).id);
const { batch, statuses } = await poll(client, asked);
console.log(JSON.stringify({ statuses, ordered: batch.cancelling_at <= batch.cancelled_at }));
