// Reads a delivered webhook from standard input as {headers, body} and unwraps it.
import fs from 'node:fs';
import OpenAI from 'openai';

const { headers, body } = JSON.parse(fs.readFileSync(0, 'utf8'));
const client = new OpenAI();
const event = await client.webhooks.unwrap(body, new Headers(headers));
let forged = null;
try {
  await client.webhooks.unwrap(`${body} `, new Headers(headers));
} catch (error) {
  forged = error.constructor.name;
}
console.log(JSON.stringify({ type: event.type, id: event.data.id, forged }));
