import type { Scenario } from '../contract.js';
import { accessScenario } from './access.js';
import { adminScenario } from './admin.js';
import { backlogScenario } from './backlog.js';
import { dispatchScenario } from './dispatch.js';
import { echoScenario } from './echo.js';
import { fanoutScenario } from './fanout.js';
import { memoryScenario } from './memory.js';
import { scaleScenario } from './scale.js';
import { startScenario } from './start.js';
import { storeScenario } from './store.js';
import { swapScenario } from './swap.js';

/** Every scenario, in the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [
  echoScenario,
  storeScenario,
  fanoutScenario,
  dispatchScenario,
  swapScenario,
  memoryScenario,
  scaleScenario,
  startScenario,
  backlogScenario,
  accessScenario,
  adminScenario,
];
