import type { Question } from './contract.js';
import { dispatchQuestion } from './questions/dispatch.js';
import { echoQuestion } from './questions/echo.js';
import { memoryQuestion } from './questions/memory.js';
import { storeQuestion } from './questions/store.js';
import { swapQuestion } from './questions/swap.js';

/** Every question, in the order in which they are asked. */
export const QUESTIONS: readonly Question[] = [
  echoQuestion,
  storeQuestion,
  dispatchQuestion,
  swapQuestion,
  memoryQuestion,
];
