/** A small domain that is designed in tests, with texts that would be markup where somebody took them for it. */
export const SONGS_BRIEF = 'Songs with a rating from 1 to 5 <script>alert(1)</script>. A list of the best.';

const SONGS = {
  ...{ beds: 1, domain: 'songs', description: 'Songs <b>with</b> a rating.', store: 'main', zone: 'UTC' },
  records: [
    {
      ...{ name: 'song', description: 'A song', key: 'auto', operations: ['create', 'update', 'delete'] },
      fields: [
        {
          ...{ name: 'title', description: 'Title <img src=x onerror=alert(1)>', type: 'text', max_length: 100 },
        },
        { name: 'rating', description: 'From 1 to 5', type: 'integer', min: '1', max: '5' },
      ],
    },
  ],
  queries: [
    {
      ...{ name: 'best', description: 'The best songs', args: [], from: 'song', where: ['rating = 5'] },
      ...{ columns: ['title'], order_by: ['title'], limit: '10' },
    },
  ],
  ...{ actions: [], examples: [] },
  covers: [
    { sentence: 1, paths: ['records.song'] },
    { sentence: 2, paths: ['queries.best'] },
  ],
  assumptions: ['A title may come twice.'],
  questions: ['May a song have no rating?'],
};

/** What a model would answer. */
export const SONGS_ANSWER = JSON.stringify(SONGS);

/** The next revision: songs get a year, which may be absent. It answers a wish of so many sentences. */
export const songsWithYear = (sentences: number): string =>
  JSON.stringify({
    ...SONGS,
    records: SONGS.records.map((record) => ({
      ...record,
      fields: [
        ...record.fields,
        { name: 'year', description: 'Year of the song', optional: true, type: 'integer', min: '1900', max: '2100' },
      ],
    })),
    covers: Array.from({ length: sentences }, (_, index) => ({ sentence: index + 1, paths: ['records.song'] })),
    questions: [],
  });
