// Single requests, without a batch.
import OpenAI from 'openai';

const client = new OpenAI({ maxRetries: 0 });
const chat = await client.chat.completions.create({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Hi' }],
});
const vectors = await client.embeddings.create({ model: 'text-embedding-3-small', input: ['a', 'b'] });
let refusal = null;
try {
  await client.chat.completions.create({ model: 'gpt-4o-mini' });
} catch (error) {
  refusal = { class: error.constructor.name, status: error.status, param: error.param };
}
console.log(
  JSON.stringify({
    object: chat.object,
    role: chat.choices[0].message.role,
    said: chat.choices[0].message.content.length > 0,
    sizes: vectors.data.map((each) => each.embedding.length),
    refusal,
  }),
);
