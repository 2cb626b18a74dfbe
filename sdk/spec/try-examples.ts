import type { CheckedSpecification, Problem } from './checked.js';
import { local, momentOf } from './functions.js';
import type { ExampleSpec } from './language.js';
import { playExample } from './play.js';
import { simulate } from './simulate.js';

/** An example holds whenever it is played: at night as well as by day. */
const CLOCKS = ['12:00', '03:30', '08:00', '20:30'];

/** Plays the examples of a specification on a model of it in memory. What comes out otherwise is a mistake of the example or of a rule. */
export async function tryExamples(specification: CheckedSpecification): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  for (const [index, example] of (specification.source.examples ?? []).entries()) {
    const path = `examples[${String(index)}]`;
    try {
      const message = await whyOtherwise(specification, example);
      if (message !== undefined) problems.push({ path, code: 'example', message, severity: 'error' });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      problems.push({ path, code: 'not-tried', message: `was not tried in memory: ${why}.`, severity: 'advice' });
    }
  }
  return problems;
}

async function whyOtherwise(specification: CheckedSpecification, example: ExampleSpec): Promise<string | undefined> {
  const { zone } = specification.source;
  const today = local(new Date(), zone).date;
  for (const clock of CLOCKS) {
    const stage = simulate(specification, { now: momentOf(today, clock, zone) });
    const wrong = await playExample(specification, example, stage);
    if (wrong.length === 0) continue;
    const when = clock === CLOCKS[0] ? '' : `, played at ${clock},`;
    return `"${example.description}"${when} comes out otherwise: ${wrong.join(' ')} Either the example is wrong, or a rule or a step.`;
  }
  return undefined;
}
