import type { Question } from './contract.js';
import { backlogQuestion } from './questions/backlog.js';
import { dispatchQuestion } from './questions/dispatch.js';
import { echoQuestion } from './questions/echo.js';
import { fanoutQuestion } from './questions/fanout.js';
import { memoryQuestion } from './questions/memory.js';
import { scaleQuestion } from './questions/scale.js';
import { startQuestion } from './questions/start.js';
import { storeQuestion } from './questions/store.js';
import { swapQuestion } from './questions/swap.js';

/** Every question, in the order in which they are asked. */
export const QUESTIONS: readonly Question[] = [
  echoQuestion,
  storeQuestion,
  fanoutQuestion,
  dispatchQuestion,
  swapQuestion,
  memoryQuestion,
  scaleQuestion,
  startQuestion,
  backlogQuestion,
];
