// A content is read piece by piece as it comes, never whole.
import crypto from 'node:crypto';
import OpenAI from 'openai';
import { inputFile, upload } from './start.mjs';

const client = new OpenAI({ maxRetries: 0 });
const content = inputFile(20_000);
const file = await upload(client, content);

const digest = crypto.createHash('sha256');
const answer = await client.files.content(file.id);
let pieces = 0;
for await (const piece of answer.body) {
  digest.update(piece);
  pieces += 1;
}
console.log(
  JSON.stringify({
    pieces,
    same: digest.digest('hex') === crypto.createHash('sha256').update(content).digest('hex'),
    length: answer.headers.get('content-length') === String(content.length),
    disposition: answer.headers.get('content-disposition'),
  }),
);
