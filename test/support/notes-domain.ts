import type { BundleOptions } from './bundles.js';

/** What a DBA would deliver for the `notes` domain of the scenario tests, on MariaDB and MySQL. */
export const NOTES_SCHEMA: readonly string[] = [
  `CREATE TABLE note (
     id BIGINT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200) NOT NULL, mark VARCHAR(64) NULL, version INT NOT NULL DEFAULT 1,
     KEY (mark))`,
  `CREATE SQL SECURITY DEFINER VIEW note_list AS SELECT id, text, mark, version FROM note`,
  `CREATE PROCEDURE note_create(IN text VARCHAR(200), IN mark VARCHAR(64)) SQL SECURITY DEFINER
   BEGIN
     INSERT INTO note (text, mark) VALUES (text, mark);
     SELECT note.id, note.text, note.mark FROM note WHERE note.id = LAST_INSERT_ID();
   END`,
  `CREATE PROCEDURE note_update(IN id BIGINT, IN text VARCHAR(200)) SQL SECURITY DEFINER
   BEGIN
     UPDATE note SET note.text = text, note.version = note.version + 1 WHERE note.id = id;
     SELECT note.id, note.text, note.mark, note.version FROM note WHERE note.id = id;
   END`,
  `CREATE PROCEDURE note_delete(IN id BIGINT) SQL SECURITY DEFINER
   BEGIN DELETE FROM note WHERE note.id = id; END`,
  // n.b. a loop without a pause, of several sessions at once, now and then took MariaDB ten seconds instead of milliseconds.
  `CREATE PROCEDURE note_slow(IN ms INT) SQL SECURITY DEFINER READS SQL DATA
   BEGIN
     DECLARE until_at DATETIME(6) DEFAULT NOW(6) + INTERVAL (ms * 1000) MICROSECOND;
     WHILE SYSDATE(6) < until_at DO DO SLEEP(0.001); END WHILE;
     SELECT ms AS waited;
   END`,
];

export const NOTES_GRANTS: readonly string[] = [
  'SELECT ON note_list',
  'EXECUTE ON PROCEDURE note_create',
  'EXECUTE ON PROCEDURE note_update',
  'EXECUTE ON PROCEDURE note_delete',
  'EXECUTE ON PROCEDURE note_slow',
];

const string = { type: 'string' } as const;
const integer = { type: 'integer' } as const;
const mark = { type: 'string', optional: true } as const;

/** The objects as a template of the domain declares them. */
export const NOTES_OBJECTS = {
  create: {
    kind: 'procedure',
    name: 'note_create',
    args: { text: string, mark: { type: 'string', optional: true } },
    returns: { type: 'object', fields: { id: integer, text: string, mark } },
  },
  fetch: { kind: 'view', name: 'note_list', columns: { id: integer, text: string, mark, version: integer } },
  update: {
    kind: 'procedure',
    name: 'note_update',
    args: { id: integer, text: string },
    returns: { type: 'object', fields: { id: integer, text: string, mark, version: integer } },
  },
  delete: { kind: 'procedure', name: 'note_delete', args: { id: integer } },
  slow: {
    kind: 'procedure',
    name: 'note_slow',
    args: { ms: integer },
    returns: { type: 'object', fields: { waited: integer } },
  },
} as const;

/** A bundle of the domain that works, to be changed by a test where it needs another. */
export function notesBundle(options: BundleOptions = {}): BundleOptions {
  return {
    form: 'file',
    name: 'notes.mjs',
    objects: NOTES_OBJECTS,
    ...options,
    operations: {
      slow: {
        mode: 'read',
        args: { ms: { type: 'integer', optional: true } },
        run: `return ctx.call('slow', { ms: input.ms ?? 100 });`,
      },
      version: { mode: 'read', run: 'return VERSION;' },
      ...options.operations,
    },
    body: {
      createRecord: `return ctx.call('create', { text: payload.text, mark: payload.mark ?? null });`,
      fetchRecords: `return ctx.view('fetch', query);`,
      updateRecord: `return (await ctx.call('update', { id: payload.id, text: payload.text })) ?? { affected: 0 };`,
      deleteRecord: `return ctx.call('delete', { id });`,
      ...options.body,
    },
  };
}
