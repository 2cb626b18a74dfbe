import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultFileText } from './default-file.js';
import { jsonSchemaText } from './json-schema.js';

/** `npm run config:schema`: writes what is derived from the schema, from the project's root. */
const directory = join(process.cwd(), 'config');
writeFileSync(join(directory, 'beds.schema.json'), jsonSchemaText());
writeFileSync(join(directory, 'beds.toml'), defaultFileText());
