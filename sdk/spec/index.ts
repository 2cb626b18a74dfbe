/** The language in which domains are described: for the commands, the generators and the tests of this repository. */
export { withArticle, withCapital } from './article.js';
export type { CheckOptions } from './advice.js';
export { checkSpecification, type CheckResult } from './check.js';
export type * from './checked.js';
export { computeFormula, type Surroundings } from './compute.js';
export {
  besidePath,
  type BesideRecord,
  documentLayout,
  type DocumentLayout,
  type DocumentPlace,
  isKeyWhole,
  keyFields,
  uniqueIndex,
  type UniqueIndex,
} from './documents.js';
export { LEDGER, SEATS } from './examples.js';
export { explain } from './explain.js';
export { formatJson, formatSpecification } from './format.js';
export {
  compareComputed,
  type Computed,
  FUNCTIONS,
  type FunctionInfo,
  printed,
  SPECIAL_FUNCTIONS,
} from './functions.js';
export { editorSchema, editorSchemaText, strictSchema } from './json-schema.js';
export type * from './language.js';
export { compareVersions } from './compare-versions.js';
export { type ReadAnswer, readAnswer } from './read-answer.js';
export { FORMULA_WORDS, FormulaError, parseFormula, WIRE_WORDS } from './parse-formula.js';
export * from './play.js';
export { changePrompt, firstPrompt, problemLine, referenceText, repairPrompt } from './prompt.js';
export { shapesLeftOut } from './grammar.js';
export { IDIOMS } from './semantics.js';
export { emptyScope, shapesOf } from './shapes.js';
export {
  firstRows,
  type Performed,
  performOn,
  Refusal,
  type RowChange,
  type RowName,
  settledRow,
  simulate,
  type SimulatedStage,
  type SimulationOptions,
  type StoredDomain,
  type Table,
} from './simulate.js';
export { type Condition, Missing, type Row, type Stored, type Wish, withEach } from './simulated-rows.js';
export { fromWire, toWire, ValueError } from './wire-values.js';
export { tryExamples } from './try-examples.js';
export { partsOf, typeFormula } from './type-formula.js';
