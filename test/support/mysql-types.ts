import type { Json, ValueType } from '@beds/sdk';

/** A type of MySQL or MariaDB, and what is carried of it. */
export interface TypeCase {
  /** As the DBA writes it. */
  readonly type: string;
  /** Where it stands for others of its kind: what the document calls it. */
  readonly name?: string;
  readonly as: ValueType;
  /** As they travel; each is written, read, found, and given back by routines. */
  readonly values: readonly Json[];
  /** What a procedure selects of `v`, where the bare column would not do. */
  readonly given?: (isMariaDb: boolean) => string;
  /** Refused as an argument, by name. */
  readonly refused?: readonly Json[];
  /** For the document. */
  readonly form: string;
  readonly bounds: string;
}

const exact = 'exact';
const base64 = 'base64';

function whole(type: string, least: number | string, most: number | string): TypeCase {
  const [below, above] = [(BigInt(least) - 1n).toString(), (BigInt(most) + 1n).toString()];
  const isBig = type.startsWith('BIGINT');
  const values = [least, most, 0, 1];
  return {
    ...{ type, as: isBig ? 'bigint' : 'integer', values: isBig ? values.map(String) : values },
    ...{ refused: [below, above], form: isBig ? 'decimal string' : 'number', bounds: 'its own range' },
  };
}

const texts = [
  '',
  'a',
  'A',
  ' a',
  'á',
  'ß',
  'NULL',
  "it's \\ % _ !",
  'a\u0000b',
  'tab\tend',
  '日本',
  '😀',
  '12',
  '1e3',
];
const padded = [...texts, 'a ', ' '];
const geo = (type: string, coordinates: Json): Json => ({ type, coordinates });
const line: Json = [
  [0, 0],
  [1.5, -2.25],
];
const ring: Json = [
  [0, 0],
  [0, 3],
  [3, 3],
  [0, 0],
];

function text(type: string, collation: string, values: readonly Json[] = padded): TypeCase {
  const bounds = type.startsWith('CHAR') ? 'no space at the end' : 'all Unicode; spaces at the end are kept';
  const refused = [
    ...(type.startsWith('CHAR') ? ['a '] : []),
    ...(type.includes('(20)') ? ['x'.repeat(21)] : []),
    '\ud800',
  ];
  return { type: `${type} ${collation}`, as: 'string', values, refused, form: 'text', bounds };
}

function shape(type: string, name: string, coordinates: Json): TypeCase {
  return {
    ...{ type, as: 'json', values: [geo(name, coordinates)], form: 'GeoJSON' },
    given: () => (type === 'POINT' ? 'v' : 'ST_AsGeoJSON(v)'),
    refused: [
      geo(name, 'x'),
      { type: name, coordinates, more: 1 },
      geo('Circle', coordinates),
      geo(name, [1, 2, 3]),
      'x',
      [],
      1,
    ],
    bounds:
      'two dimensions; written without a reference system, which is not shown either; a procedure gives ST_AsGeoJSON(v)',
  };
}

export const typeCases: readonly TypeCase[] = [
  whole('TINYINT', -128, 127),
  whole('TINYINT UNSIGNED', 0, 255),
  whole('TINYINT(1)', -128, 127),
  {
    ...{ type: 'BOOLEAN', as: 'boolean', values: [true, false], refused: [2, 'true'] },
    ...{ form: 'true, false', bounds: 'a row with another number is refused when it is read' },
  },
  whole('SMALLINT', -32768, 32767),
  whole('SMALLINT UNSIGNED', 0, 65535),
  whole('MEDIUMINT', -8388608, 8388607),
  whole('MEDIUMINT UNSIGNED', 0, 16777215),
  whole('INT', -2147483648, 2147483647),
  whole('INT UNSIGNED', 0, 4294967295),
  whole('BIGINT', '-9223372036854775808', '9223372036854775807'),
  whole('BIGINT UNSIGNED', 0, '18446744073709551615'),
  {
    ...{ type: 'BIGINT', as: 'integer', values: [Number.MIN_SAFE_INTEGER, -1, 0, Number.MAX_SAFE_INTEGER] },
    ...{ form: 'number', bounds: '±(2^53-1); a row beyond is refused when it is read' },
  },
  {
    ...{ type: 'BIT(1)', as: 'boolean', values: [true, false], refused: [2] },
    ...{ form: 'true, false', bounds: exact },
  },
  {
    ...{ type: 'BIT(12)', name: 'BIT(n)', as: 'integer', values: [0, 1, 4095], refused: [4096, -1] },
    ...{ form: 'number', bounds: 'n bits, up to 53' },
  },
  {
    ...{ type: 'BIT(64)', as: 'bigint', values: ['0', '9223372036854775808', '18446744073709551615'] },
    ...{ refused: ['18446744073709551616', '-1'], form: 'decimal string', bounds: exact },
  },
  {
    ...{ type: 'FLOAT', as: 'number', values: [0, 0.1, -0.1, 1.5, 1e-38, 16777216, 3.4e38, -3.4e38, 1.1754944e-38] },
    ...{
      refused: [1e39, 1e-46],
      form: 'number',
      bounds: '24 bits: the nearest is kept, and shown with the fewest digits',
    },
  },
  {
    ...{ type: 'FLOAT(7,3)', name: 'FLOAT(m,d)', as: 'number', form: 'number', bounds: 'its own digits; not rounded' },
    ...{ values: [0, 0.123, -1234.5, 9999.999], refused: [0.1234, 10000, 1e-7] },
  },
  {
    ...{ type: 'DOUBLE', as: 'number', form: 'number', bounds: exact },
    values: [0, 0.1, 0.30000000000000004, 5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 2 ** 53],
  },
  {
    ...{
      type: 'DOUBLE(10,2)',
      name: 'DOUBLE(m,d)',
      as: 'number',
      form: 'number',
      bounds: 'its own digits; not rounded',
    },
    ...{ values: [0, 0.12, -99999999.99], refused: [2.675, 1e8, -1e300] },
  },
  {
    ...{ type: 'DECIMAL(65,30)', name: 'DECIMAL(p,s)', as: 'decimal', form: 'decimal string' },
    values: [`${'9'.repeat(35)}.${'9'.repeat(30)}`, `-${'9'.repeat(35)}.${'9'.repeat(30)}`, `0.${'0'.repeat(30)}`],
    refused: [`0.${'1'.repeat(31)}`, '1'.repeat(36)],
    bounds: 'p digits, s of them behind the point; not rounded',
  },
  {
    ...{ type: 'DECIMAL(10,2) UNSIGNED', as: 'decimal', form: 'decimal string', bounds: 'not below 0; not rounded' },
    ...{ values: ['0.00', '0.01', '99999999.99'], refused: ['-0.01', '0.005', '100000000'] },
  },
  {
    ...{ type: 'DECIMAL(10,2) ZEROFILL', as: 'decimal', form: 'decimal string', bounds: 'shown without the zeros' },
    ...{ values: ['0.00', '0.01', '99999999.99'], refused: ['-0.01', '0.005', '100000000'] },
  },
  {
    ...{ type: 'DATE', as: 'date', values: ['1000-01-01', '1969-12-31', '2024-02-29', '9999-12-31'] },
    ...{ refused: ['2023-02-29', '2024-2-1'], form: 'day', bounds: 'the zero date is null' },
  },
  {
    ...{ type: 'DATETIME', as: 'datetime', form: 'instant in UTC', bounds: 'whole seconds; the zero date is null' },
    values: ['1000-01-01T00:00:00.000Z', '1969-12-31T23:59:59.000Z', '9999-12-31T23:59:59.000Z'],
    refused: ['2026-01-01T00:00:00.500Z', '2026-01-01T00:00:00'],
  },
  {
    ...{ type: 'DATETIME(6)', name: 'DATETIME(n)', as: 'datetime', form: 'instant in UTC' },
    values: ['2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:00.120Z', '9999-12-31T23:59:59.999999Z'],
    ...{ refused: ['2026-01-01T00:00:00.0000001Z'], bounds: 'n decimals of a second; not rounded' },
  },
  {
    ...{ type: 'TIMESTAMP(3) NULL', name: 'TIMESTAMP(n)', as: 'datetime', form: 'instant in UTC' },
    values: ['1970-01-01T00:00:01.000Z', '2026-06-01T02:30:00.001Z', '2038-01-19T03:14:07.999Z'],
    refused: ['1969-12-31T23:59:59Z', '2026-01-01T00:00:00.0001Z'],
    bounds: '1970 to 2038 (MariaDB 11.8: 2106); n decimals of a second',
  },
  {
    ...{ type: 'TIME', as: 'string', values: ['-838:59:59', '-00:00:01', '00:00:00', '12:34:56', '838:59:59'] },
    refused: ['839:00:00', 'noon', '00:00:00.5'],
    ...{ form: 'hh:mm:ss, hours beyond 24 and below 0', bounds: '±838:59:59' },
  },
  {
    ...{ type: 'TIME(6)', name: 'TIME(n)', as: 'string' },
    ...{ values: ['-00:00:00.000001', '00:00:00.1', '838:59:58.999999'], refused: ['00:00:00.0000001'] },
    ...{ form: 'hh:mm:ss.f, as many decimals as it has', bounds: 'n decimals of a second; not rounded' },
  },
  {
    ...{ type: 'YEAR', as: 'integer', values: [0, 1901, 2026, 2155], refused: [1, 99, 1900, 2156] },
    ...{ form: 'number', bounds: '1901 to 2155, and 0' },
  },
  text(
    'CHAR(20)',
    'COLLATE utf8mb4_bin',
    texts.filter((each) => each !== ''),
  ),
  text('VARCHAR(20)', 'COLLATE utf8mb4_bin'),
  text('VARCHAR(20)', 'COLLATE utf8mb4_general_ci'),
  text('VARCHAR(20)', 'COLLATE utf8mb4_unicode_ci'),
  text('VARCHAR(20)', 'COLLATE utf8mb4_uca1400_ai_ci'),
  text('VARCHAR(20)', 'COLLATE utf8mb4_0900_ai_ci'),
  {
    ...text('VARCHAR(20)', 'CHARACTER SET latin1', ['', 'a', 'á', 'ß', 'a ']),
    ...{ refused: ['日本', '😀'], bounds: 'its character set' },
  },
  {
    ...text('VARCHAR(20)', 'CHARACTER SET cp1251', ['', 'a', 'ж', 'a ']),
    ...{ refused: ['日本', '😀', 'é'], bounds: 'its character set' },
  },
  {
    ...text('VARCHAR(20)', 'CHARACTER SET utf8mb3', ['', 'a', 'á', '日本']),
    ...{ refused: ['😀'], bounds: 'its character set' },
  },
  text('VARCHAR(20)', 'CHARACTER SET utf16', ['', 'a', 'á', '日本', '😀', 'a ']),
  text('TINYTEXT', 'COLLATE utf8mb4_unicode_ci'),
  text('TEXT', 'COLLATE utf8mb4_bin'),
  text('MEDIUMTEXT', 'COLLATE utf8mb4_general_ci'),
  text('LONGTEXT', 'COLLATE utf8mb4_bin'),
  {
    ...{ type: "ENUM('c','a','it''s','B')", name: 'ENUM', as: 'string', values: ['c', 'a', "it's", 'B'] },
    ...{ refused: ['b', '2', '', 'd', 'a '], form: 'text', bounds: 'its members, letter by letter' },
  },
  {
    ...{ type: "SET('z','a','m')", name: 'SET', as: 'string', values: ['', 'z', 'a', 'z,a', 'z,a,m'] },
    ...{ refused: ['7', 'Z', 'z,b', 'a,z', 'z,z'], form: 'text, a comma between' },
    bounds: 'its members, each once, in their order',
  },
  {
    ...{ type: 'JSON', as: 'json', form: 'JSON', bounds: 'numbers that a double does not hold are read as text' },
    refused: ['\ud800', { a: ['\udc00'] }, { '\ud800': 1 }],
    values: [
      { a: [1, 'two', null, true, { deep: 0.5 }] },
      [],
      {},
      'text',
      12,
      true,
      { big: '9007199254740993' },
      [2 ** 53, 2 ** 60],
    ],
  },
  {
    ...{ type: 'BINARY(16)', name: 'BINARY(n)', as: 'binary', form: base64, bounds: 'n bytes, no less' },
    values: [Buffer.alloc(16).toString('base64'), Buffer.alloc(16, 255).toString('base64'), 'AAECAwQFBgcICQoLDA0ODw=='],
    refused: ['', 'AAEC', Buffer.alloc(17).toString('base64'), 'x', 'AAECAwQFBgcICQoLDA0ODx=='],
  },
  {
    ...{ type: 'VARBINARY(16)', name: 'VARBINARY(n)', as: 'binary', form: base64, bounds: 'at most n bytes' },
    ...{ values: ['', 'AA==', 'AAA=', '/w==', 'ICA='], refused: [Buffer.alloc(17).toString('base64'), 'AA'] },
  },
  { type: 'TINYBLOB', as: 'binary', values: ['', 'AAD/'], form: base64, bounds: '255 bytes' },
  {
    type: 'BLOB',
    as: 'binary',
    values: ['', 'AAD/', Buffer.alloc(65535, 7).toString('base64')],
    form: base64,
    bounds: '64 KB',
  },
  { type: 'MEDIUMBLOB', as: 'binary', values: ['', 'AAD/'], form: base64, bounds: 'what a request may carry' },
  { type: 'LONGBLOB', as: 'binary', values: ['', 'AAD/'], form: base64, bounds: 'what a request may carry' },
  {
    ...{ type: 'UUID', as: 'string', refused: ['x', ''], form: 'text in small letters', bounds: exact },
    values: ['00000000-0000-0000-0000-000000000000', '6ccd780c-baba-1026-9564-5b8c656024db'],
  },
  {
    ...{ type: 'INET4', as: 'string', values: ['0.0.0.0', '255.255.255.255'], refused: ['300.0.0.1', ''] },
    ...{ form: 'text', bounds: exact },
  },
  {
    ...{ type: 'INET6', as: 'string', values: ['::', '::1', '2001:db8::1'], refused: ['x', '10.0.0.1'] },
    ...{ form: 'text in its short form', bounds: exact },
  },
  {
    ...shape('POINT', 'Point', [8.5417, 47.3769]),
    values: [geo('Point', [8.5417, 47.3769]), geo('Point', [10.12345678901234, -1e300])],
  },
  shape('LINESTRING', 'LineString', line),
  shape('POLYGON', 'Polygon', [ring]),
  shape('MULTIPOINT', 'MultiPoint', line),
  shape('MULTILINESTRING', 'MultiLineString', [line]),
  shape('MULTIPOLYGON', 'MultiPolygon', [[ring]]),
  {
    ...shape('GEOMETRY', 'Point', [1, 2]),
    values: [
      geo('Point', [1, 2]),
      geo('MultiPoint', line),
      { type: 'GeometryCollection', geometries: [geo('Point', [1, 2]), geo('LineString', line)] },
    ],
  },
  {
    ...{
      type: 'VECTOR(3)',
      name: 'VECTOR(n)',
      as: 'json',
      values: [[0.1, -2, 3e10]],
      refused: [[], ['x', 1, 2], 'x', [1, 2, 3, 4]],
    },
    ...{ form: 'list of numbers', bounds: 'n numbers as of FLOAT; a procedure of MariaDB gives VEC_ToText(v)' },
    given: (isMariaDb) => (isMariaDb ? 'VEC_ToText(v)' : 'v'),
  },
];
