import { pathToFileURL } from 'node:url';

// The test files that are named run in this process, one after the other, and load once what several of them import.
// n.b. one module imports them all: of files that are imported in turn the tests would begin before their file has come to its end.
const imports = process.argv.slice(2).map((file) => `import ${JSON.stringify(pathToFileURL(file).href)};`);
await import(`data:text/javascript,${encodeURIComponent(imports.join('\n'))}`);
