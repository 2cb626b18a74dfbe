/** The DBA's side of a new domain in MySQL or MariaDB; files are applied in the order of their names. */
export function mysqlObjects(name: string): Readonly<Record<string, string>> {
  // A domain may be called `order` or `group`.
  const table = `\`${name}\``;
  return {
    [`db/10-table-${name}.sql`]: `CREATE TABLE IF NOT EXISTS ${table} (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  name VARCHAR(100) NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;
`,
    [`db/20-view-${name}_list.sql`]: `CREATE OR REPLACE SQL SECURITY DEFINER VIEW ${name}_list AS
SELECT ${table}.id, ${table}.name
FROM ${table};
`,
    [`db/30-procedure-${name}_create.sql`]: procedure(name, {
      operation: 'create',
      args: 'IN name VARCHAR(100)',
      comment: 'Adds a record and gives it back.',
      body: `  INSERT INTO ${table} (name) VALUES (name);
  SELECT ${name}_list.* FROM ${name}_list WHERE ${name}_list.id = LAST_INSERT_ID();`,
    }),
    [`db/31-procedure-${name}_update.sql`]: procedure(name, {
      operation: 'update',
      args: 'IN id INT UNSIGNED, IN name VARCHAR(100)',
      comment: 'Changes what is given (NULL keeps) and gives the record back; no row where there is none.',
      body: `  UPDATE ${table} SET ${table}.name = COALESCE(name, ${table}.name) WHERE ${table}.id = id;
  SELECT ${name}_list.* FROM ${name}_list WHERE ${name}_list.id = id;`,
    }),
    [`db/32-procedure-${name}_delete.sql`]: procedure(name, {
      operation: 'delete',
      args: 'IN id INT UNSIGNED',
      comment: 'Removes a record. Affects no row where there is none.',
      body: `  DELETE FROM ${table} WHERE ${table}.id = id;`,
    }),
  };
}

interface Procedure {
  readonly operation: string;
  readonly args: string;
  readonly comment: string;
  readonly body: string;
}

function procedure(name: string, { operation, args, comment, body }: Procedure): string {
  return `DROP PROCEDURE IF EXISTS ${name}_${operation};

CREATE PROCEDURE ${name}_${operation}(${args})
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT '${comment}'
BEGIN
${body}
END;
`;
}
