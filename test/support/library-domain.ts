const ONLY_COPY_IS_OUT = [
  {
    ...{ operation: 'title_create', as: 'T', user: { id: 'anna' } },
    arguments: [
      { name: 'name', value: 'Emma' },
      { name: 'copies', value: 1 },
    ],
  },
  { operation: 'borrow', arguments: [{ name: 'title', value: '@T' }], user: { id: 'anna' } },
];

/** Members see their own loans only, while limits and what is free count those of everybody. */
export const LIBRARY = JSON.stringify({
  ...{ beds: 1, domain: 'library', description: 'Loans of titles.', store: 'main', zone: 'Europe/Zurich' },
  records: [
    {
      ...{ name: 'loan', description: 'A loan', key: 'auto', operations: [] },
      fields: [
        { name: 'title', description: 'Title', type: 'reference', references: 'title' },
        { name: 'member', description: 'Who has it', type: 'text', max_length: 40 },
        { name: 'state', description: 'State', type: 'enum', values: ['out', 'back'], default: "'out'" },
      ],
      row_access: { read: "member = @user or has_role('librarian')", write: 'true' },
    },
    {
      ...{ name: 'title', description: 'A title', key: 'auto', operations: ['create'] },
      fields: [
        { name: 'name', description: 'Name', type: 'text', max_length: 60 },
        { name: 'copies', description: 'Copies', type: 'integer', min: '0' },
        {
          ...{ name: 'left', description: 'Copies that are here', type: 'integer' },
          computed: "copies - count(all loan where title = this.id and state = 'out')",
        },
        {
          ...{ name: 'mine', description: 'Loans of it that the caller sees', type: 'integer' },
          computed: 'count(loan where title = this.id)',
        },
      ],
    },
  ],
  queries: [
    {
      ...{ name: 'busy', description: 'Titles by loans', from: 'title', order_by: ['name'] },
      columns: ['id', 'name', 'all_loans = count(all loan where title = this.id)', 'left', 'mine'],
    },
  ],
  actions: [
    {
      ...{ name: 'borrow', description: 'Lends a copy' },
      args: [{ name: 'title', description: 'Title', type: 'reference', references: 'title' }],
      steps: [
        { op: 'read_for_update', record: 'title', as: 't', where: 'id = :title', message: 'No such title.' },
        {
          ...{ op: 'check', message: 'All copies are out.', error: 'conflict' },
          rule: "count(all loan where title = t.id and state = 'out') < t.copies",
        },
        { op: 'insert', record: 'loan', set: ['title = t.id', 'member = @user'], as: 'l' },
      ],
    },
  ],
  examples: [
    {
      description: 'The only copy is out, whoever has it.',
      given: ONLY_COPY_IS_OUT,
      call: { operation: 'borrow', arguments: [{ name: 'title', value: '@T' }], user: { id: 'ben' } },
      expect: { outcome: 'error', error: 'conflict' },
    },
    {
      description: 'Who has no loan sees that nothing is left.',
      given: ONLY_COPY_IS_OUT,
      call: { operation: 'title_fetch', arguments: [{ name: 'id', value: '@T' }], user: { id: 'ben' } },
      expect: {
        outcome: 'ok',
        values: [
          { name: 'left', value: 0 },
          { name: 'mine', value: 0 },
        ],
      },
    },
    {
      description: 'Who has the loan sees it beside what is left.',
      given: [
        {
          ...{ operation: 'title_create', as: 'T', user: { id: 'anna' } },
          arguments: [
            { name: 'name', value: 'Emma' },
            { name: 'copies', value: 2 },
          ],
        },
        { operation: 'borrow', arguments: [{ name: 'title', value: '@T' }], user: { id: 'anna' } },
        { operation: 'borrow', arguments: [{ name: 'title', value: '@T' }], user: { id: 'ben' } },
      ],
      call: { operation: 'busy', arguments: [], user: { id: 'anna' } },
      expect: {
        outcome: 'rows',
        count: 1,
        rows: [
          {
            values: [
              { name: 'all_loans', value: 2 },
              { name: 'left', value: 0 },
              { name: 'mine', value: 1 },
            ],
          },
        ],
      },
    },
  ],
  ...{ assumptions: [], questions: [] },
});
