import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import n from 'eslint-plugin-n';
import tseslint from 'typescript-eslint';

const sizes = {
  'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
  'max-depth': ['error', 3],
  'max-params': ['error', 3],
  complexity: ['error', 20],
};

const noDefaultExport = {
  'no-restricted-syntax': [
    'error',
    { selector: 'ExportDefaultDeclaration', message: 'Named exports only: a name is found by searching for it.' },
  ],
};

/** Which imports a folder may not use. The layers within host/ are guarded by test/layers.test.ts. */
const refused = (...patterns) => ({ 'no-restricted-imports': ['error', { patterns }] });
const sdkInsides = {
  regex: '^(\\.\\.?/)+sdk/|^@beds/sdk/(?!(build|client|testing)$)',
  message: 'Import a door of @beds/sdk.',
};
const host = { regex: '(^|/)host/', message: 'Only the host, its tests and its benchmarks import the host.' };
const outside = {
  regex: '^\\.\\./\\.\\./(?!\\.)(?!sdk/)',
  message: 'A domain imports its own folder and @beds/sdk only.',
};
const foreign = {
  regex: '^(?!\\.|@beds/sdk$|@beds/sdk/(build|client|testing)$|node:(test|assert|crypto)(/|$))',
  message: 'A domain imports its own folder and @beds/sdk only.',
};

export default defineConfig(
  {
    ignores: ['**/dist/', '**/node_modules/', '**/.beds/', 'plugins/*.mjs', 'bench/results/', 'test/fixtures/'],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  { rules: { ...sizes, 'n/no-process-exit': 'error' }, plugins: { n } },
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      ...noDefaultExport,
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      // State is looked at again after every await, and data from outside is doubted: the compiler believes both.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // Types that describe templates are computed: an empty object, or an index that refers to itself, is meant.
      '@typescript-eslint/no-generated-empty-object-type': 'off',
      '@typescript-eslint/consistent-indexed-object-style': 'off',
      // Its advice, `!`, is what no-non-null-assertion forbids.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      // A contract may ask for a promise where one implementation has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      // A hook that `may return a promise or nothing` is written `Promise<void> | void`.
      '@typescript-eslint/no-invalid-void-type': 'off',
      'no-console': 'error',
    },
  },
  { files: ['host/**/*.ts', 'host/**/*.tsx'], rules: refused(sdkInsides) },
  // A view is one tree of elements, as long as what it shows.
  { files: ['host/**/*.tsx'], rules: { 'max-lines-per-function': ['error', 90] } },
  { files: ['sdk/**/*.ts'], rules: refused(host) },
  { files: ['plugins/**/*.ts'], rules: refused(sdkInsides, host, outside, foreign) },
  {
    files: [
      'host/main.ts',
      'host/cli/main.ts',
      'host/cli/child.ts',
      'host/threads/main.ts',
      'host/dashboard/process.ts',
      'host/bootstrap.mjs',
    ],
    rules: { 'n/no-process-exit': 'off' },
  },
  // Composition roots: one thing after the other, a property a line.
  {
    files: ['host/supervisor.ts', 'host/threads/worker.ts'],
    rules: { 'max-lines-per-function': ['error', 90] },
  },
  // A language is a list of cases, one a construct: a function has all of them, and each is read alone.
  {
    files: ['sdk/spec/**/*.ts', 'sdk/generate/**/*.ts'],
    rules: { complexity: ['error', 41], 'max-lines-per-function': ['error', 90] },
  },
  { files: ['host/cli/**/*.ts', 'bench/**/*.ts'], rules: { 'no-console': 'off' } },
  { files: ['plugins/**/template.ts'], rules: { 'no-restricted-syntax': 'off' } },
  {
    files: ['test/**/*.ts', 'plugins/**/*.test.ts'],
    rules: {
      // A suite is one function.
      'max-lines-per-function': 'off',
      // A test takes methods apart to watch them.
      '@typescript-eslint/unbound-method': 'off',
      'no-restricted-syntax': [
        ...noDefaultExport['no-restricted-syntax'],
        {
          selector:
            'Program > :matches(ExpressionStatement, ForOfStatement):has(CallExpression[callee.name=/^(describe|it|test)$/]) ~ VariableDeclaration > VariableDeclarator > AwaitExpression',
          message: 'Wait at the top of the file: node:test ends it with its first suite else, and its servers with it.',
        },
      ],
      // What `it` and `describe` promise is for the runner to wait for.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['it', 'test', 'describe', 'suite'] },
          ],
        },
      ],
    },
  },
  {
    // Tests of types: what they declare is looked at by the compiler only.
    files: ['test/*-types.test.ts'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-unused-vars': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly', setTimeout: 'readonly' } },
  },
);
