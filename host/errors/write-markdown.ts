import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorsMarkdown } from './markdown.js';

/** `npm run docs:errors`: writes host/ERRORS.md, from the project's root. */
writeFileSync(join(process.cwd(), 'host', 'ERRORS.md'), errorsMarkdown());
