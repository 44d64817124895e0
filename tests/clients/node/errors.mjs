// Every refusal arrives as the class and with the words that the client documents.
import OpenAI from 'openai';
import { poll } from './poll.mjs';
import { start } from './start.mjs';

const client = new OpenAI({ maxRetries: 0 });
const stranger = new OpenAI({ maxRetries: 0, apiKey: 'sk-stranger' });
const done = (await poll(client, await start(client, 1))).batch;

const calls = {
  'unknown file': () => client.files.retrieve('file-unknown'),
  'unknown content': () => client.files.content('file-unknown'),
  'wrong prefix': () =>
    client.batches.create({
      input_file_id: 'wrong-id',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    }),
  'wrong endpoint': () =>
    client.batches.create({
      input_file_id: done.input_file_id,
      endpoint: '/v1/invalid',
      completion_window: '24h',
    }),
  'unknown batch': () => client.batches.retrieve('batch_unknown'),
  'ended batch': () => client.batches.cancel(done.id),
  "another key's batch": () => stranger.batches.retrieve(done.id),
};
const refusals = {};
for (const [name, call] of Object.entries(calls)) {
  try {
    await call();
    refusals[name] = null;
  } catch (error) {
    const { status, param, code, type, message } = error;
    refusals[name] = { class: error.constructor.name, status, param, code, type, message };
  }
}
console.log(JSON.stringify(refusals));
