/** A procedure, function or view that a file creates. */
export interface CreatedObject {
  readonly kind: 'PROCEDURE' | 'FUNCTION' | 'VIEW';
  readonly name: string;
}

/** Comments and texts in quotes: what they say creates nothing. */
const SILENT = /--[ \t][^\n]*|#[^\n]*|\/\*(?!!)[\s\S]*?\*\/|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"/g;
const CREATE =
  /\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:ALGORITHM\s*=\s*\w+|DEFINER\s*=\s*\S+|SQL\s+SECURITY\s+\w+)\s+)*(PROCEDURE|FUNCTION|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?`?([A-Za-z0-9_$]+)`?/gi;

/** Whether a name says that the object is for the DBA's other objects only. */
export function isInternal(name: string): boolean {
  return name.startsWith('_');
}

/** The objects that the statements of a file create, in their order. */
export function createdObjects(sql: string): readonly CreatedObject[] {
  const spoken = sql.replaceAll(SILENT, ' ');
  return [...spoken.matchAll(CREATE)].map(([, kind = '', name = '']) => ({
    kind: kind.toUpperCase() as CreatedObject['kind'],
    name,
  }));
}
