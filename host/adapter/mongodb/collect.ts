import type { AbstractCursor, Document } from 'mongodb';
import type { ResultMeter } from './result-meter.js';

/**
 * All documents of a cursor, batch by batch, each weighed when it has arrived. Where that is too much, and where reading
 * fails, the cursor is closed in the server. `spare`: see the meter.
 */
export async function collect(cursor: AbstractCursor<Document>, meter: ResultMeter, spare = 0): Promise<Document[]> {
  const documents: Document[] = [];
  try {
    while (await cursor.hasNext()) {
      const batch = cursor.readBufferedDocuments();
      meter.add(batch, spare);
      for (const document of batch) documents.push(document);
    }
    return documents;
  } finally {
    // n.b. nothing is sent for one that has given everything.
    await cursor.close().catch(() => undefined);
  }
}
