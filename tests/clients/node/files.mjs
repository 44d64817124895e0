// What goes up comes down, is listed, and is gone once deleted.
import OpenAI, { toFile } from 'openai';

const client = new OpenAI({ maxRetries: 0 });
const content = Buffer.from('{"custom_id": "é日本😀"}\n');
const file = await client.files.create({ file: await toFile(content, '入力.jsonl'), purpose: 'batch' });
const listed = [];
for await (const each of client.files.list({ purpose: 'batch' })) listed.push(each.id);
const retrieved = await client.files.retrieve(file.id);
const bytes = Buffer.from(await (await client.files.content(file.id)).arrayBuffer());
const deleted = await client.files.del?.(file.id) ?? await client.files.delete(file.id);
console.log(
  JSON.stringify({
    filename: retrieved.filename,
    same: bytes.equals(content),
    listed: listed.length === 1 && listed[0] === file.id,
    deleted: deleted.deleted,
  }),
);
