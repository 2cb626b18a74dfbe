/**
 * The candidate that a reader most likely meant by `word`, or undefined when none is close. Letter case does not count;
 * a candidate that goes on from `word`, as `maxBodyBytes` does from `maxBody`, is close.
 */
function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = word.toLowerCase();
  const limit = Math.min(5, 1 + Math.floor(wanted.length / 4));
  let best: { readonly candidate: string; readonly distance: number } | undefined;
  for (const candidate of candidates) {
    const found = candidate.toLowerCase();
    const goesOn = wanted.length > 2 && found.startsWith(wanted);
    if (!goesOn && Math.abs(wanted.length - found.length) > limit) continue;
    const distance = goesOn ? 1 : editDistance(wanted, found);
    if (distance <= limit && distance < (best?.distance ?? Infinity)) best = { candidate, distance };
  }
  return best?.candidate;
}

/** " Did you mean x?" or nothing; appended to a sentence. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const found = nearest(word, candidates);
  return found === undefined ? '' : ` Did you mean ${found}?`;
}

/** " (did you mean x?)" or nothing; put behind a name. */
export function meant(word: string, candidates: Iterable<string>): string {
  const found = nearest(word, candidates);
  return found === undefined ? '' : ` (did you mean ${found}?)`;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= a.length; row += 1) {
    const line = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      line[column] = Math.min(
        at(rows[row - 1], column) + 1,
        at(line, column - 1) + 1,
        at(rows[row - 1], column - 1) + (same ? 0 : 1),
        swapped ? at(rows[row - 2], column - 2) + 1 : Infinity,
      );
    }
    rows.push(line);
  }
  return at(rows[a.length], b.length);
}

function at(line: readonly number[] | undefined, column: number): number {
  return line?.[column] ?? Infinity;
}
