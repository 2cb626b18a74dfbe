import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { editorSchemaText } from './json-schema.js';
import { referenceText } from './prompt.js';

/** `npm run spec:schema` runs this file: it writes what is derived from the language. */
const SDK = join(import.meta.dirname, '..', '..');

writeFileSync(join(SDK, 'docs', 'specification.md'), referenceText());
writeFileSync(join(SDK, 'domain.schema.json'), editorSchemaText());
