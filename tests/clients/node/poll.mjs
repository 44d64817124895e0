// Looks at a batch until it has ended; collects the statuses on the way.
export async function poll(client, batch) {
  const statuses = [batch.status];
  for (let look = 0; look < 50; look += 1) {
    batch = await client.batches.retrieve(batch.id);
    if (batch.status !== statuses.at(-1)) statuses.push(batch.status);
    if (['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) return { batch, statuses };
  }
  throw new Error(`not ended: ${statuses}`);
}
